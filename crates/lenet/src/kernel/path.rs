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

/// A set of instructions that kernels were compiled for. All give the same bits, but for [`Path::Simd128`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// AVX-512F.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// NEON.
    Neon,
    /// WebAssembly's vectors, if they were compiled in (`-C target-feature=+simd128`). Rounds multiply-adds twice.
    Simd128,
    /// Whatever the compiler makes of plain Rust.
    Portable,
}

impl Path {
    /// All paths, fastest first.
    pub const ALL: [Path; 5] = [Path::Avx512, Path::Avx2, Path::Neon, Path::Simd128, Path::Portable];

    /// The name that [`Path::parse`] and `LENET_PATH` take.
    pub fn name(self) -> &'static str {
        match self {
            Path::Avx512 => "avx512",
            Path::Avx2 => "avx2",
            Path::Neon => "neon",
            Path::Simd128 => "simd128",
            Path::Portable => "portable",
        }
    }

    /// The path of that name, whether this CPU has it or not.
    pub fn parse(name: &str) -> Option<Path> {
        Path::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Whether this CPU can take the path.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            Path::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Path::Neon => true,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Path::Simd128 => true,
            Path::Portable => true,
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// The paths of this CPU, fastest first; never empty.
    pub fn available() -> Vec<Path> {
        Path::ALL.into_iter().filter(|p| p.is_available()).collect()
    }

    /// The fastest path of this CPU, unless the environment variable `LENET_PATH` names another.
    ///
    /// # Errors
    /// A name that is unknown, or a path that this CPU does not have.
    pub fn detect() -> Result<Path, String> {
        let available = Path::available();
        let names = || available.iter().map(|p| p.name()).collect::<Vec<_>>().join(", ");
        match std::env::var("LENET_PATH") {
            Ok(name) => Path::parse(&name)
                .filter(|p| p.is_available())
                .ok_or_else(|| format!("LENET_PATH is '{name}', but this CPU has: {}", names())),
            Err(_) => Ok(available[0]),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Path::Avx512 => "AVX-512",
            Path::Avx2 => "AVX2",
            Path::Neon => "NEON",
            Path::Simd128 => "WebAssembly SIMD",
            Path::Portable => "portable",
        })
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
/// The path must be available on this CPU; and whatever the program's own fields promise.
#[inline]
pub unsafe fn dispatch<P: Program>(path: Path, program: P) -> P::Output {
    debug_assert!(path.is_available());
    // SAFETY: the caller vouches for path and program.
    unsafe {
        match path {
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            Path::Avx512 => on_avx512(program),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => on_avx2(program),
            #[cfg(target_arch = "aarch64")]
            Path::Neon => program.run::<Neon>(),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Path::Simd128 => program.run::<Simd128>(),
            _ => program.run::<Portable>(),
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
