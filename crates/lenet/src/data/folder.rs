//! Pictures of one's own: a folder a class, with `train/`, `val/` and `test/` above them or without.
//!
//! ```text
//! DIR → files by class → SHA-256 each → cached pixels, or decoded on all cores → split → Dataset
//! ```

use super::picture::{self, Invert};
use super::{CacheOptions, DataError, Dataset, Loaded, Options};
use crate::fs::{hex, write_atomic};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Endings of the files that are taken for pictures.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

/// Most bytes of a picture's file.
const LIMIT: u64 = 1 << 28;

/// Most bytes of all pictures once they are scaled; where addresses have 32 bits, half of those are fewer.
const TOTAL: u64 = 1 << 33;

/// Folders within a class's folder, at most.
const DEPTH: usize = 16;

/// Every so many pictures of a class, one is kept for the test where there is no folder for it.
const TEST_SHARE: usize = 5;

/// A change of what [`picture::prepare`] computes must change this, or old pixels would be found.
const FORMAT: &str = "lenet folder 1";

type Sha = [u8; 32];

/// A file that should be a picture.
struct Found {
    /// From the folder's root, with `/` on every system.
    name: String,
    path: PathBuf,
    class: u16,
    test: bool,
}

/// What is below the root, before any file is opened.
struct Tree {
    classes: Vec<String>,
    files: Vec<Found>,
    /// Whether the folders say what is for the test.
    split: bool,
    others: usize,
    notes: Vec<String>,
}

fn wrong(dir: &Path, what: impl Into<String>) -> DataError {
    DataError::Folder { dir: dir.into(), what: what.into() }
}

/// Loads a folder of pictures.
pub(super) fn load(dir: &Path, options: &Options, cache: &CacheOptions) -> Result<Loaded, DataError> {
    let Tree { classes, files, split, others, mut notes } = walk(dir)?;
    let shas = parallel(files.len(), |i| read(&files[i].path).map(|b| <Sha>::from(Sha256::digest(&b))));
    let shape = match options.shape {
        Some(shape) => shape,
        None => common_shape(&files, &mut notes),
    };
    let total = records_len(files.len(), shape, TOTAL.min(isize::MAX as u64));
    let total = total.map_err(|what| wrong(dir, what))?;
    let key = key(shape, &files, &shas);
    let cached = cache.dir.as_ref().map(|d| d.join("folders").join(format!("{}.pixels", hex(&key))));
    let sample: usize = shape.iter().product();
    let stored = cached.as_ref().filter(|_| shas.iter().all(Result::is_ok));
    let stored = stored.and_then(|path| recall(path, total));
    let records: Vec<Result<Vec<u8>, String>> = match &stored {
        Some(all) => all.chunks_exact(sample + 1).map(|r| Ok(r.to_vec())).collect(),
        None => parallel(files.len(), |i| decode(&files[i], shas[i].as_ref(), shape)),
    };

    let named = files.iter().zip(&records);
    let bad: Vec<String> = named.filter_map(|(f, r)| r.as_ref().err().map(|e| format!("{}: {e}", f.name))).collect();
    if !bad.is_empty() && !options.skip_bad {
        return Err(DataError::BadPictures { dir: dir.into(), bad });
    }
    if let (true, None, Some(path)) = (bad.is_empty(), &stored, &cached) {
        let all: Vec<u8> = records.iter().flatten().flatten().copied().collect();
        remember(path, &all)?;
    }

    let good: Vec<usize> = (0..files.len()).filter(|&i| records[i].is_ok()).collect();
    let in_test = if split { files.iter().map(|f| f.test).collect() } else { split_by_content(&files, &shas, &good) };
    let side = |test: bool| {
        let mut set = Dataset { shape, images: Vec::new(), labels: Vec::new(), classes: classes.clone() };
        for &i in good.iter().filter(|&&i| in_test[i] == test) {
            if let Ok(record) = &records[i] {
                set.images.extend(&record[1..]);
                set.labels.push(files[i].class);
            }
        }
        set
    };
    let (train, test) = (side(false), side(true));
    check_counts(dir, &train, &test, &mut notes)?;
    if !split {
        notes.push(format!(
            "no test folder: {} of {} pictures are kept for the test, a fifth of every class chosen by content",
            test.len(),
            good.len()
        ));
    }
    let inverted = records.iter().flatten().filter(|r| r[0] == 1).count();
    if inverted > 0 {
        notes.push(format!("{inverted} dark-on-light pictures are taken as their negatives, as predict does"));
    }
    if others > 0 {
        notes.push(format!("{others} files that are no pictures by their ending are left out"));
    }
    Ok(Loaded {
        name: format!("dir:{}", dir.display()),
        provenance: if stored.is_some() { format!("{} (cached)", dir.display()) } else { dir.display().to_string() },
        checksums: vec![("pictures".into(), hex(&key))],
        train,
        test,
        notes,
        skipped: bad,
    })
}

/// Bytes of so many pictures once they are scaled, a byte about each included.
fn records_len(pictures: usize, shape: [usize; 3], limit: u64) -> Result<usize, String> {
    let pixels = shape.iter().try_fold(pictures as u64, |n, &side| n.checked_mul(side as u64));
    let records = pixels.filter(|n| *n <= limit).and_then(|n| n.checked_add(pictures as u64));
    let records = records.and_then(|n| usize::try_from(n).ok());
    records.ok_or_else(|| format!("{pictures} pictures of {shape:?} do not fit in {limit} bytes"))
}

fn walk(dir: &Path) -> Result<Tree, DataError> {
    if !dir.is_dir() {
        return Err(wrong(dir, "there is no such folder"));
    }
    let top = folders(dir)?;
    let part = |name: &str| top.iter().find(|(n, _)| n == name).map(|(_, p)| p.clone());
    let mut notes = Vec::new();
    let parts = match (part("train"), part("test"), part("val")) {
        (Some(train), Some(test), val) => {
            if val.is_some() {
                notes.push("val/ is left out: test/ is what the model is measured on".into());
            }
            vec![(train, false), (test, true)]
        }
        (Some(train), None, Some(val)) => {
            notes.push("there is no test/: the model is measured on val/".into());
            vec![(train, false), (val, true)]
        }
        (Some(train), None, None) => vec![(train, false)],
        _ => vec![(dir.to_path_buf(), false)],
    };
    let split = parts.len() > 1;
    let classes: Vec<String> = folders(&parts[0].0)?.into_iter().map(|(name, _)| name).collect();
    check_classes(&parts[0].0, &classes)?;
    let (mut files, mut others) = (Vec::new(), 0);
    for (part, test) in &parts {
        for (name, path) in folders(part)? {
            let class = classes.iter().position(|c| *c == name).and_then(|c| u16::try_from(c).ok());
            let class =
                class.ok_or_else(|| wrong(part, format!("class {name:?} is not among the training folders")))?;
            let before = files.len();
            gather(&path, 0, &mut |path| {
                let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
                if ending.is_some_and(|e| ENDINGS.contains(&e.as_str())) {
                    let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                    files.push(Found { name, path, class, test: *test });
                } else {
                    others += 1;
                }
            })?;
            if files.len() == before && !test {
                let what = format!("class {name:?} has no picture (known endings: {})", ENDINGS.join(", "));
                return Err(wrong(part, format!("{what}: add some, or remove the folder")));
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Tree { classes, files, split, others, notes })
}

fn check_classes(dir: &Path, classes: &[String]) -> Result<(), DataError> {
    if classes.len() < 2 {
        let what =
            format!("{} folders where at least two classes are needed, a folder of pictures each", classes.len());
        return Err(wrong(dir, what));
    }
    if classes.len() > usize::from(u16::MAX) {
        return Err(wrong(dir, format!("{} classes are more than {}", classes.len(), u16::MAX)));
    }
    let mut seen = BTreeMap::new();
    for name in classes {
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            return Err(wrong(dir, format!("classes {other:?} and {name:?} differ in case alone: rename one")));
        }
    }
    Ok(())
}

/// The visible folders of a directory by name; links to folders count here, so that classes can lie elsewhere.
fn folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let failed = |e: std::io::Error| wrong(dir, format!("cannot be listed: {e}"));
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// Every visible file below a class's folder. Links to folders are not followed here: they could lead round in circles.
fn gather(dir: &Path, depth: usize, take: &mut dyn FnMut(PathBuf)) -> Result<(), DataError> {
    let failed = |e: std::io::Error| wrong(dir, format!("cannot be listed: {e}"));
    if depth > DEPTH {
        return Err(wrong(dir, format!("folders are more than {DEPTH} deep")));
    }
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        match kind.is_dir() {
            true => gather(&entry.path(), depth + 1, take)?,
            false if kind.is_symlink() && entry.path().is_dir() => {}
            false => take(entry.path()),
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let said = |e: std::io::Error| format!("cannot be read: {e}");
    // Opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(said)?.is_file() {
        return Err("is no file".into());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(said)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(said)?;
    if bytes.len() as u64 > LIMIT { Err(format!("is larger than {LIMIT} bytes")) } else { Ok(bytes) }
}

/// A byte that tells whether the picture was inverted, then its pixels.
fn decode(file: &Found, sha: Result<&Sha, &String>, shape: [usize; 3]) -> Result<Vec<u8>, String> {
    let sha = sha.map_err(Clone::clone)?;
    let bytes = read(&file.path)?;
    if <Sha>::from(Sha256::digest(&bytes)) != *sha {
        return Err("changed while it was read".into());
    }
    let prepared = picture::prepare(&bytes, shape, Invert::Auto).map_err(|e| e.to_string())?;
    let mut record = vec![u8::from(prepared.inverted)];
    record.extend(prepared.pixels);
    Ok(record)
}

/// `work` of every index below `n`, in order, on all cores.
fn parallel<T: Send>(n: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(n.max(1));
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < n);
        std::iter::from_fn(take).map(|i| (i, work(i))).collect::<Vec<_>>()
    };
    let mut done: Vec<(usize, T)> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let join = |h: std::thread::ScopedJoinHandle<'_, _>| h.join().unwrap_or_else(|p| std::panic::resume_unwind(p));
        handles.into_iter().flat_map(join).collect()
    });
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, value)| value).collect()
}

/// The size that all have, or a usual small one; colour if any picture has it.
fn common_shape(files: &[Found], notes: &mut Vec<String>) -> [usize; 3] {
    let looks = parallel(files.len(), |i| read(&files[i].path).ok().and_then(|b| picture::look(&b).ok()));
    let looks: Vec<_> = looks.into_iter().flatten().collect();
    let colour = looks.iter().any(|l| l.2);
    let (c, side) = if colour { (3, 32) } else { (1, 28) };
    let shape = match looks.first() {
        Some(&(w, h, _)) if w.max(h) <= 64 && looks.iter().all(|l| (l.0, l.1) == (w, h)) => [c, h as usize, w as usize],
        _ => [c, side, side],
    };
    let kind = if colour { "colour" } else { "grey" };
    notes.push(format!("pictures are taken as {}×{} in {kind}, for no recipe says otherwise", shape[1], shape[2]));
    shape
}

fn key(shape: [usize; 3], files: &[Found], shas: &[Result<Sha, String>]) -> Sha {
    let mut hasher = Sha256::new();
    hasher.update(format!("{FORMAT} {shape:?}\n"));
    for (file, sha) in files.iter().zip(shas) {
        let sha = sha.as_ref().map_or_else(|_| "unreadable".into(), |s| hex(s));
        hasher.update(format!("{sha} {:?}\n", file.name));
    }
    hasher.finalize().into()
}

/// What [`remember`] wrote, if it is whole.
fn recall(path: &Path, expected: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = expected as u64 + 33;
    File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    let (sha, body) = bytes.split_at_checked(32)?;
    let whole = body.len() == expected && sha == &Sha256::digest(body)[..];
    whole.then(|| body.to_vec())
}

fn remember(path: &Path, body: &[u8]) -> Result<(), DataError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir).map_err(DataError::cache("create the directory", dir))?;
    let file = [&Sha256::digest(body)[..], body].concat();
    // Each writer its own temporary file, threads of a process too; the contents are the same, so the last rename changes nothing.
    static WRITERS: AtomicUsize = AtomicUsize::new(0);
    let writer = WRITERS.fetch_add(1, Ordering::Relaxed);
    let own = path.with_extension(format!("{}-{writer}.part", std::process::id()));
    write_atomic(&own, &file).and_then(|()| fs::rename(&own, path)).map_err(DataError::cache("write", path))
}

/// Of every class the fifth whose contents hash lowest: the same whatever the files are called and whoever asks, and
/// most copies of a picture stay on one side.
fn split_by_content(files: &[Found], shas: &[Result<Sha, String>], good: &[usize]) -> Vec<bool> {
    let mut by_class: BTreeMap<u16, Vec<(Option<&Sha>, usize)>> = BTreeMap::new();
    for &i in good {
        by_class.entry(files[i].class).or_default().push((shas[i].as_ref().ok(), i));
    }
    let mut in_test = vec![false; files.len()];
    for of_class in by_class.values_mut() {
        of_class.sort();
        let n = of_class.len();
        let kept = if n < 2 { 0 } else { (n / TEST_SHARE).max(1) };
        of_class.iter().take(kept).for_each(|(_, i)| in_test[*i] = true);
    }
    in_test
}

fn check_counts(dir: &Path, train: &Dataset, test: &Dataset, notes: &mut Vec<String>) -> Result<(), DataError> {
    let mut counts = vec![0usize; train.classes.len()];
    train.labels.iter().for_each(|&l| counts[usize::from(l)] += 1);
    if let Some(empty) = counts.iter().position(|n| *n == 0) {
        return Err(wrong(dir, format!("class {:?} has no picture left to learn from", train.classes[empty])));
    }
    if test.is_empty() {
        return Err(wrong(dir, "there is no picture for the test: add some, or remove the empty folder"));
    }
    let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
    if most > least {
        let ratio = most as f64 / least as f64;
        notes.push(format!("classes have {least} to {most} training pictures, a ratio of {ratio:.1}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_bytes_do_not_wrap() {
        assert_eq!(records_len(60_000, [1, 28, 28], TOTAL), Ok(60_000 * 785));
        assert_eq!(records_len(1 << 10, [1, 1 << 11, 1 << 10], i32::MAX as u64 + 1), Ok((1 << 31) + (1 << 10)));
        // Of 32 bits, what is left of the first is 0, of the second 16; the third is 0 of 64 bits.
        for (pictures, shape) in
            [(1 << 12, [1, 1 << 10, 1 << 10]), (16, [1, (1 << 28) + 1, 1]), (1 << 20, [1 << 20, 1 << 20, 16])]
        {
            let error = records_len(pictures, shape, i32::MAX as u64).unwrap_err();
            assert_eq!(error, format!("{pictures} pictures of {shape:?} do not fit in 2147483647 bytes"));
        }
    }
}
