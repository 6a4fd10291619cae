//! Which instructions to use: detected at run time, or forced through `LENET_PATH`.

#[cfg(target_arch = "x86_64")]
use super::simd::Avx2;
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
use super::simd::Avx512;
#[cfg(target_arch = "aarch64")]
use super::simd::Neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::simd::Simd128;
use super::simd::{Portable, Simd};
use std::fmt;

/// A set of instructions that kernels were compiled for and that this CPU has: there is no other way to one than
/// [`Path::detect`], [`Path::available`], [`Path::parse`] and [`Path::PORTABLE`]. All give the same bits, but for
/// `simd128`, WebAssembly's vectors, which round multiply-adds twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path(Set);

/// What there may be, fastest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::kernel) enum Set {
    /// AVX-512F.
    #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
    Avx512,
    /// AVX2 with FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// If it was compiled in (`-C target-feature=+simd128`).
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
    /// Whatever the compiler makes of plain Rust.
    Portable,
}

impl Set {
    const ALL: &[Set] = &[
        #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
        Set::Avx512,
        #[cfg(target_arch = "x86_64")]
        Set::Avx2,
        #[cfg(target_arch = "aarch64")]
        Set::Neon,
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Set::Simd128,
        Set::Portable,
    ];

    /// The names for machines and for people.
    fn names(self) -> [&'static str; 2] {
        match self {
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            Set::Avx512 => ["avx512", "AVX-512"],
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => ["avx2", "AVX2"],
            #[cfg(target_arch = "aarch64")]
            Set::Neon => ["neon", "NEON"],
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Simd128 => ["simd128", "WebAssembly SIMD"],
            Set::Portable => ["portable", "portable"],
        }
    }

    /// Whether this CPU has it.
    fn is_available(self) -> bool {
        match self {
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            Set::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => true,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Simd128 => true,
            Set::Portable => true,
        }
    }
}

/// The environment variable `LENET_PATH` names a path that is unknown, or that this CPU does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The name.
    pub name: String,
}

// By hand: the derive macro would be most of the packages of a program that only predicts.
impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Path::available().into_iter().map(Path::name).collect();
        write!(f, "LENET_PATH is '{}', but this CPU has: {}", self.name, names.join(", "))
    }
}

impl std::error::Error for PathError {}

impl Path {
    /// Plain Rust, which every CPU has.
    pub const PORTABLE: Path = Path(Set::Portable);

    /// The name that [`Path::parse`] and `LENET_PATH` take.
    pub fn name(self) -> &'static str {
        self.0.names()[0]
    }

    /// The path of that name, if this CPU has it.
    pub fn parse(name: &str) -> Option<Path> {
        Path::available().into_iter().find(|p| p.name() == name)
    }

    /// The paths of this CPU, fastest first; never empty.
    pub fn available() -> Vec<Path> {
        Set::ALL.iter().copied().filter(|set| set.is_available()).map(Path).collect()
    }

    /// The fastest path of this CPU, unless the environment variable `LENET_PATH` names another.
    ///
    /// # Errors
    /// A name that is unknown, or a path that this CPU does not have.
    pub fn detect() -> Result<Path, PathError> {
        match std::env::var("LENET_PATH") {
            Ok(name) => Path::parse(&name).ok_or(PathError { name }),
            Err(_) => Ok(Path::available()[0]),
        }
    }

    /// For a choice by path.
    pub(in crate::kernel) fn set(self) -> Set {
        self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.names()[1])
    }
}

/// Something to run on a path chosen at run time.
pub trait Program {
    /// What it returns.
    type Output;

    /// Runs with the vectors of `S`. Must be `#[inline(always)]`, so that it is compiled with the path's features.
    ///
    /// # Safety
    /// The CPU must have the features of `S`; and whatever the program's own fields promise.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// Runs a program on a path.
///
/// # Safety
/// Whatever the program's own fields promise.
#[inline]
pub unsafe fn dispatch<P: Program>(path: Path, program: P) -> P::Output {
    // SAFETY: this CPU has the path, or it could not have been made; the caller vouches for the program.
    unsafe {
        match path.0 {
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            Set::Avx512 => on_avx512(program),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => on_avx2(program),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => program.run::<Neon>(),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Simd128 => program.run::<Simd128>(),
            Set::Portable => program.run::<Portable>(),
        }
    }
}

#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
#[target_feature(enable = "avx512f")]
unsafe fn on_avx512<P: Program>(program: P) -> P::Output {
    // SAFETY: this function has the features; the rest is the caller's.
    unsafe { program.run::<Avx512>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn on_avx2<P: Program>(program: P) -> P::Output {
    // SAFETY: this function has the features; the rest is the caller's.
    unsafe { program.run::<Avx2>() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_cpu_have_names() {
        let available = Path::available();
        assert_eq!(available.last(), Some(&Path::PORTABLE));
        assert!(available.iter().all(|path| Path::parse(path.name()) == Some(*path)));
        let all = ["avx512", "avx2", "neon", "simd128", "portable", "sse9"];
        assert_eq!(all.into_iter().filter(|name| Path::parse(name).is_some()).count(), available.len());
        let error = PathError { name: "sse9".into() }.to_string();
        assert!(
            error.starts_with("LENET_PATH is 'sse9', but this CPU has: ") && error.ends_with("portable"),
            "{error}"
        );
    }
}
