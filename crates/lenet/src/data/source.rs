//! The sources of a dataset, in their order: the cache, system-wide copies, mirrors, the distribution's package.

use super::cache::{CacheOptions, Failure, Store, remove, sha256_of};
use super::catalog::{Entry, FileSpec, Packaging};
use super::error::Attempt;
use super::fetch::{FetchError, Fetcher};
use super::{DataError, DataEvent, Loaded, debian, idx_dir};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Loads a dataset of the catalog.
pub(super) fn load(
    entry: &'static Entry,
    options: &CacheOptions,
    on_event: &mut dyn FnMut(DataEvent),
) -> Result<Loaded, DataError> {
    let mut search = Search { entry, options, on_event, attempts: Vec::new() };
    let store = match options.store(entry) {
        Ok(store) => store,
        Err(e) => return search.without_cache(e),
    };
    if let Some(loaded) = search.try_cache(&store) {
        return search.verified(loaded);
    }
    let lock = match store.lock(search.on_event) {
        Ok(lock) => lock,
        Err(e) => return search.without_cache(e),
    };
    // Another process may have filled the cache while this one waited.
    let mut origins = Vec::new();
    if missing(&store).is_empty() {
        origins.push(cache_name(&store));
    }
    for source in search.sources() {
        if missing(&store).is_empty() {
            break;
        }
        (search.on_event)(DataEvent::Trying { source: source.to_string() });
        match search.fill(&source, &store) {
            Ok(()) => origins.push(source.to_string()),
            Err(Failure::Cache(e)) => return Err(e),
            Err(Failure::Source(reason)) => search.skip(source.to_string(), reason),
        }
    }
    if !missing(&store).is_empty() {
        let (name, debian) = (entry.name, entry.debian);
        return Err(DataError::Unavailable { name, debian, attempts: search.attempts });
    }
    let expected = store.expected();
    let loaded = idx_dir::load_entry(entry, &store.dir, origins.join(" and "), |i| expected[i].clone())?;
    drop(lock);
    search.verified(loaded)
}

/// Whom a dataset may come from.
#[derive(Clone, Debug)]
enum Source {
    System(PathBuf),
    /// The address of the file, or of the directory of files (with the final `/`).
    Mirror(String),
    Debian(&'static str),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::System(dir) => write!(f, "the system's copy {}", dir.display()),
            Source::Mirror(url) => write!(f, "{url}"),
            Source::Debian(package) => write!(f, "apt-get download {package}"),
        }
    }
}

fn cache_name(store: &Store) -> String {
    format!("the cache {}", store.dir.display())
}

/// The files that the cache lacks, or holds with other content.
fn missing(store: &Store) -> Vec<&'static FileSpec> {
    let faults = store.faults();
    store.entry.files.iter().zip(faults).filter(|(_, fault)| fault.is_some()).map(|(spec, _)| spec).collect()
}

struct Search<'a> {
    entry: &'static Entry,
    options: &'a CacheOptions,
    on_event: &'a mut dyn FnMut(DataEvent),
    attempts: Vec<Attempt>,
}

impl Search<'_> {
    fn skip(&mut self, source: String, reason: String) {
        (self.on_event)(DataEvent::Skipped { source: source.clone(), reason: reason.clone() });
        self.attempts.push(Attempt { source, reason });
    }

    fn verified(&mut self, loaded: Loaded) -> Result<Loaded, DataError> {
        for (file, sha256) in &loaded.checksums {
            (self.on_event)(DataEvent::Verified { file: file.clone(), sha256: sha256.clone() });
        }
        Ok(loaded)
    }

    fn try_cache(&mut self, store: &Store) -> Option<Loaded> {
        let name = cache_name(store);
        (self.on_event)(DataEvent::Trying { source: name.clone() });
        if !store.is_complete() {
            self.skip(name, if store.dir.is_dir() { "not complete" } else { "not there" }.into());
            return None;
        }
        let expected = store.expected();
        match idx_dir::load_entry(self.entry, &store.dir, name.clone(), |i| expected[i].clone()) {
            Ok(loaded) => Some(loaded),
            Err(e) => {
                self.skip(name, e.to_string());
                None
            }
        }
    }

    /// Without a cache, a system-wide copy can still be read where it lies.
    fn without_cache(&mut self, why: DataError) -> Result<Loaded, DataError> {
        self.skip("the cache".into(), why.to_string());
        let known = |i: usize| self.entry.files[i].sha256.map(String::from);
        for dir in self.options.system.iter().map(|root| root.join(self.entry.name)).filter(|dir| dir.is_dir()) {
            let source = Source::System(dir.clone()).to_string();
            (self.on_event)(DataEvent::Trying { source: source.clone() });
            match idx_dir::load_entry(self.entry, &dir, source.clone(), known) {
                Ok(loaded) => return self.verified(loaded),
                Err(e) => (self.on_event)(DataEvent::Skipped { source, reason: e.to_string() }),
            }
        }
        Err(why)
    }

    fn sources(&self) -> Vec<Source> {
        let (entry, options) = (self.entry, self.options);
        let mut sources: Vec<_> = options.system.iter().map(|root| Source::System(root.join(entry.name))).collect();
        let own = |file: &str| {
            let address = |base: &String| format!("{}/{}/{file}", base.trim_end_matches('/'), entry.name);
            options.mirrors.iter().map(address).map(Source::Mirror).collect::<Vec<_>>()
        };
        let (file, official) = match &entry.packaging {
            Packaging::Files { mirrors } => ("", mirrors),
            Packaging::Zip { file, urls, .. } => (*file, urls),
        };
        sources.extend(own(file));
        if options.official {
            sources.extend(official.iter().map(|url| Source::Mirror(url.to_string())));
            sources.extend(entry.debian.map(Source::Debian));
        }
        sources
    }

    /// Fetches what the store lacks.
    fn fill(&mut self, source: &Source, store: &Store) -> Result<(), Failure> {
        if self.options.offline && !matches!(source, Source::System(_)) {
            return Err(Failure::Source("the network is not to be used (LENET_OFFLINE is set)".into()));
        }
        match (source, &self.entry.packaging) {
            (Source::System(dir), _) if !dir.is_dir() => Err(Failure::Source("not installed".into())),
            (Source::System(dir), _) => copy(dir, store),
            (Source::Mirror(url), Packaging::Files { .. }) => self.fill_from_files(url, store),
            (Source::Mirror(url), Packaging::Zip { .. }) => self.fill_from_zip(url, store),
            (Source::Debian(package), _) => self.fill_from_debian(package, store),
        }
    }

    fn fill_from_files(&mut self, mirror: &str, store: &Store) -> Result<(), Failure> {
        let fetcher = Fetcher::new(self.options.patience);
        for spec in missing(store) {
            let file = format!("{}.gz", spec.name);
            // Deflate may store what it cannot compress, at five bytes a block of at most 65,535.
            let limit = spec.bytes + spec.bytes / 1000 + 4096;
            let install = |part: &Path| {
                verify_archive(spec, part)?;
                let part = File::open(part).map_err(DataError::cache("open", part))?;
                store.install(spec, part)
            };
            self.fetch(&fetcher, &format!("{mirror}{file}"), store, &file, limit, install)?;
        }
        Ok(())
    }

    fn fill_from_zip(&mut self, url: &str, store: &Store) -> Result<(), Failure> {
        let Packaging::Zip { file, bytes, sha256, directory, .. } = &self.entry.packaging else { return Ok(()) };
        let install = |part: &Path| {
            let found = sha256_of(part).map_err(DataError::cache("read", part))?;
            if found != *sha256 {
                return Err(Failure::Source(format!("the archive has SHA-256 {found} instead of {sha256}")));
            }
            unzip(part, directory, store)
        };
        self.fetch(&Fetcher::new(self.options.patience), url, store, file, *bytes, install)
    }

    /// Downloads a file and installs from it. What was downloaded goes when it proves good or bad, and stays, to be
    /// resumed, when it is not complete.
    fn fetch(
        &mut self,
        fetcher: &Fetcher,
        url: &str,
        store: &Store,
        file: &str,
        limit: u64,
        install: impl Fn(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // Mirrors may hold other compressions of the same content, so each has a part of its own.
        let mirror = crate::fs::hex(&Sha256::digest(url.as_bytes())[..4]);
        let part = store.dir.join(format!(".{file}.{mirror}.part"));
        let mut resumed = part.is_file();
        loop {
            let mut progress = |done, total| (self.on_event)(DataEvent::Progress { file: file.into(), done, total });
            match fetcher.fetch(url, &part, limit, &mut progress) {
                Ok(()) => {}
                Err(FetchError::Server(reason)) => return Err(Failure::Source(reason)),
                Err(FetchError::Disk(e)) => return Err(DataError::cache("write", &part)(e).into()),
            }
            let installed = install(&part);
            if !matches!(installed, Err(Failure::Cache(_))) {
                remove(&part);
            }
            match installed {
                // What an earlier process had begun may be of an older file at the mirror: once more from the start.
                Err(Failure::Source(_)) if resumed => resumed = false,
                Err(e) => return Err(e),
                Ok(()) => break,
            }
        }
        remove_parts(store, file);
        Ok(())
    }

    fn fill_from_debian(&mut self, package: &'static str, store: &Store) -> Result<(), Failure> {
        let temporary = store.temporary("apt");
        let dir = temporary.path();
        fs::create_dir_all(dir).map_err(DataError::cache("create", dir))?;
        let mut progress =
            |done| (self.on_event)(DataEvent::Progress { file: format!("{package}.deb"), done, total: None });
        let root = debian::unpack(package, dir, &mut progress).map_err(Failure::Source)?;
        copy(&root.join("usr/share/datasets").join(self.entry.name), store)
    }
}

/// Copies what the store lacks from a directory of raw or gzipped files.
fn copy(dir: &Path, store: &Store) -> Result<(), Failure> {
    for spec in missing(store) {
        let found = idx_dir::find(dir, spec.name);
        let path = found.ok_or_else(|| Failure::Source(format!("there is no {} and no {0}.gz", spec.name)))?;
        verify_archive(spec, &path)?;
        let file = File::open(&path).map_err(|e| Failure::Source(format!("{}: {e}", path.display())))?;
        store.install(spec, file)?;
    }
    Ok(())
}

/// Where no checksum of the content is published, the gzip file must have the one that is.
fn verify_archive(spec: &FileSpec, path: &Path) -> Result<(), Failure> {
    if spec.sha256.is_some() {
        return Ok(());
    }
    let unverified = || Failure::Source(format!("nothing verifies {}", path.display()));
    let expected = spec.gz_sha256.ok_or_else(unverified)?;
    match sha256_of(path) {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => Err(Failure::Source(format!("{}.gz has SHA-256 {found} instead of {expected}", spec.name))),
        Err(e) => Err(Failure::Source(format!("{}: {e}", path.display()))),
    }
}

fn unzip(archive: &Path, directory: &str, store: &Store) -> Result<(), Failure> {
    let bad = |e: zip::result::ZipError| Failure::Source(format!("the archive is damaged: {e}"));
    let file = File::open(archive).map_err(DataError::cache("open", archive))?;
    let mut zip = zip::ZipArchive::new(std::io::BufReader::new(file)).map_err(bad)?;
    for spec in missing(store) {
        let member = zip.by_name(&format!("{directory}{}.gz", spec.name)).map_err(bad)?;
        store.install(spec, member)?;
    }
    Ok(())
}

fn remove_parts(store: &Store, file: &str) {
    let prefix = format!(".{file}.");
    for entry in fs::read_dir(&store.dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&prefix) && name.ends_with(".part") {
            remove(&entry.path());
        }
    }
}
