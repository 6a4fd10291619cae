//! IDX files of unsigned bytes, the format of MNIST and its relatives: raw or gzipped, told apart by their content.
//!
//! A file is a magic number (0, 0, type, number of dimensions), one big-endian 32-bit size a dimension, and the values.
//! The reader believes nothing: it takes exactly what the header says, at most [`MAX_BYTES`], and never allocates more
//! than a file of that length can hold.

use crate::fs::hex;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

/// Most values a file may hold: 4 GiB, some 80 times Fashion-MNIST.
pub const MAX_BYTES: u64 = 1 << 32;

/// No deflate stream expands by more than this factor, so that a gzip file's length bounds its content.
const MAX_DEFLATE_RATIO: u64 = 1032;

/// Images as a file holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Channels, rows, columns of one image.
    pub shape: [usize; 3],
    /// `[n, c, h, w]`
    pub pixels: Vec<u8>,
    /// SHA-256 of the decompressed file, in hexadecimal.
    pub sha256: String,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.pixels.len() / self.shape.iter().product::<usize>().max(1)
    }

    /// Whether there is no image; never so for images that a reader returned.
    pub fn is_empty(&self) -> bool {
        self.pixels.is_empty()
    }
}

/// Labels as a file holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// One label an image.
    pub labels: Vec<u8>,
    /// SHA-256 of the decompressed file, in hexadecimal.
    pub sha256: String,
}

/// Why a file is no IDX file of the kind that is needed. Every variant names the file.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum IdxError {
    /// The operating system says no.
    #[error("{file}: cannot be read: {source}")]
    Io { file: String, source: io::Error },
    /// The gzip stream is damaged.
    #[error("{file}: the gzip data is damaged ({source}): fetch the file again")]
    Gzip { file: String, source: io::Error },
    /// The file is something else.
    #[error("{file}: magic is {found:#010x}, {expected} is needed: this is no IDX file of {what}")]
    Magic { file: String, found: u32, expected: &'static str, what: &'static str },
    /// A size is zero.
    #[error("{file}: {field} is 0, it must be at least 1")]
    Zero { file: String, field: &'static str },
    /// The header claims more than the file can hold or this program reads.
    #[error("{file}: the header claims {claim}, {limit}: the header is damaged, or the file is not complete")]
    TooLarge { file: String, claim: String, limit: String },
    /// The file ends before its header says.
    #[error("{file}: ends after {found} of {expected} bytes of {field}: the file is not complete")]
    Truncated { file: String, field: &'static str, expected: u64, found: u64 },
    /// The file goes on after its header says.
    #[error("{file}: goes on after the {expected} bytes that its header announces")]
    Trailing { file: String, expected: u64 },
    /// There is not enough memory.
    #[error("{file}: no memory for its {bytes} bytes")]
    Memory { file: String, bytes: u64 },
}

/// Reads images, `[n, h, w]` or `[n, c, h, w]`, from a raw or gzipped file.
///
/// # Errors
/// Whatever keeps the file from being exactly such an IDX file.
pub fn read_images(path: &Path) -> Result<Images, IdxError> {
    let (file, len) = open(path)?;
    decode_images(file, len, &path.display().to_string())
}

/// Reads labels, `[n]`, from a raw or gzipped file.
///
/// # Errors
/// Whatever keeps the file from being exactly such an IDX file.
pub fn read_labels(path: &Path) -> Result<Labels, IdxError> {
    let (file, len) = open(path)?;
    decode_labels(file, len, &path.display().to_string())
}

/// Images from any reader of `len` bytes; `name` stands in errors.
///
/// # Errors
/// As [`read_images`].
pub fn decode_images(reader: impl Read, len: u64, name: &str) -> Result<Images, IdxError> {
    let (dims, pixels, sha256) = decode(reader, len, name, &IMAGES)?;
    let size = |i: usize| dims.get(i).copied().unwrap_or(1);
    let shape = if dims.len() == 4 { [size(1), size(2), size(3)] } else { [1, size(1), size(2)] };
    Ok(Images { shape, pixels, sha256 })
}

/// Labels from any reader of `len` bytes; `name` stands in errors.
///
/// # Errors
/// As [`read_labels`].
pub fn decode_labels(reader: impl Read, len: u64, name: &str) -> Result<Labels, IdxError> {
    let (_, labels, sha256) = decode(reader, len, name, &LABELS)?;
    Ok(Labels { labels, sha256 })
}

/// Writes `pixels` `[n, c, h, w]`, as `[n, h, w]` if there is one channel.
///
/// # Errors
/// Those of the writer; sizes beyond 32 bits, or pixels that are no whole number of images, are invalid input.
pub fn write_images(writer: &mut impl Write, shape: [usize; 3], pixels: &[u8]) -> io::Result<()> {
    let sample = shape.iter().product::<usize>();
    if sample == 0 || !pixels.len().is_multiple_of(sample) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the pixels are no whole number of images"));
    }
    let [c, h, w] = shape;
    let n = pixels.len() / sample;
    let (magic, dims) = if c == 1 { (0x803, vec![n, h, w]) } else { (0x804, vec![n, c, h, w]) };
    write_header(writer, magic, &dims)?;
    writer.write_all(pixels)
}

/// Writes labels, `[n]`.
///
/// # Errors
/// Those of the writer; more than 2³² labels are invalid input.
pub fn write_labels(writer: &mut impl Write, labels: &[u8]) -> io::Result<()> {
    write_header(writer, 0x801, &[labels.len()])?;
    writer.write_all(labels)
}

fn write_header(writer: &mut impl Write, magic: u32, dims: &[usize]) -> io::Result<()> {
    writer.write_all(&magic.to_be_bytes())?;
    for &dim in dims {
        let size = u32::try_from(dim).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a size above 2³²"))?;
        writer.write_all(&size.to_be_bytes())?;
    }
    Ok(())
}

/// What a kind of file looks like: the fields of its header for each magic number.
struct Kind {
    what: &'static str,
    expected: &'static str,
    headers: &'static [(u32, &'static [&'static str])],
}

const IMAGES: Kind = Kind {
    what: "images",
    expected: "0x00000803 or 0x00000804",
    headers: &[
        (0x803, &["number of images", "rows", "columns"]),
        (0x804, &["number of images", "channels", "rows", "columns"]),
    ],
};

const LABELS: Kind = Kind { what: "labels", expected: "0x00000801", headers: &[(0x801, &["number of labels"])] };

fn open(path: &Path) -> Result<(File, u64), IdxError> {
    let fail = |source| IdxError::Io { file: path.display().to_string(), source };
    let file = File::open(path).map_err(fail)?;
    let meta = file.metadata().map_err(fail)?;
    if meta.is_dir() {
        return Err(fail(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")));
    }
    Ok((file, meta.len()))
}

/// Whether the bytes that come next are gzip's.
pub(super) fn is_gzip(reader: &mut impl BufRead) -> io::Result<bool> {
    Ok(reader.fill_buf()?.starts_with(&[0x1f, 0x8b]))
}

type Decoded = (Vec<usize>, Vec<u8>, String);

fn decode(reader: impl Read, len: u64, name: &str, kind: &Kind) -> Result<Decoded, IdxError> {
    let mut buffered = BufReader::with_capacity(1 << 16, reader);
    let gzip = is_gzip(&mut buffered).map_err(|source| IdxError::Io { file: name.into(), source })?;
    if gzip {
        // Several members in a row are one file to gzip, and garbage after the last is an error.
        let decoder = flate2::bufread::MultiGzDecoder::new(buffered);
        Parser { reader: Hashing::new(decoder), name, gzip }.parse(kind, len.saturating_mul(MAX_DEFLATE_RATIO))
    } else {
        Parser { reader: Hashing::new(buffered), name, gzip }.parse(kind, len)
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R> Hashing<R> {
    fn new(inner: R) -> Self {
        Hashing { inner, hash: Sha256::new() }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hash.update(&buf[..n]);
        Ok(n)
    }
}

struct Parser<'a, R> {
    reader: Hashing<R>,
    name: &'a str,
    gzip: bool,
}

impl<R: Read> Parser<'_, R> {
    /// `capacity` bounds the decompressed bytes there can be.
    fn parse(mut self, kind: &Kind, capacity: u64) -> Result<Decoded, IdxError> {
        let magic = self.word("the magic number")?;
        let Some((_, fields)) = kind.headers.iter().find(|(m, _)| *m == magic) else {
            let (expected, what) = (kind.expected, kind.what);
            return Err(IdxError::Magic { file: self.name.into(), found: magic, expected, what });
        };
        let mut dims = Vec::with_capacity(fields.len());
        for field in *fields {
            match self.word(field)? {
                0 => return Err(IdxError::Zero { file: self.name.into(), field }),
                size => dims.push(size as usize),
            }
        }
        let expected = self.claim(&dims, capacity)?;
        let values = self.values(expected, kind.what)?;
        // One byte more: it must not be there. For gzip this also makes the decoder check the stream's end.
        if self.read(&mut [0u8; 1])? != 0 {
            return Err(IdxError::Trailing { file: self.name.into(), expected });
        }
        Ok((dims, values, hex(&self.reader.hash.finalize())))
    }

    /// Number of values that the header announces, if the file can hold them.
    fn claim(&self, dims: &[usize], capacity: u64) -> Result<u64, IdxError> {
        let claim = || dims.iter().map(|d| d.to_string()).collect::<Vec<_>>().join("×") + " bytes";
        let too_large = |limit| IdxError::TooLarge { file: self.name.into(), claim: claim(), limit };
        let product = dims.iter().try_fold(1u64, |a, &b| a.checked_mul(b as u64));
        let expected = product.filter(|&n| n <= MAX_BYTES && usize::try_from(n).is_ok());
        let expected = expected.ok_or_else(|| too_large(format!("more than the {MAX_BYTES} that are possible")))?;
        if expected > capacity {
            return Err(too_large("more than the file holds".into()));
        }
        Ok(expected)
    }

    fn values(&mut self, expected: u64, field: &'static str) -> Result<Vec<u8>, IdxError> {
        let mut values = Vec::new();
        let memory = |_| IdxError::Memory { file: self.name.into(), bytes: expected };
        values.try_reserve_exact(expected as usize).map_err(memory)?;
        let read = (&mut self.reader).take(expected).read_to_end(&mut values);
        let found = values.len() as u64;
        match read {
            Ok(_) if found == expected => Ok(values),
            Ok(_) => Err(IdxError::Truncated { file: self.name.into(), field, expected, found }),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(IdxError::Truncated { file: self.name.into(), field, expected, found })
            }
            Err(e) => Err(self.fail(e)),
        }
    }

    fn word(&mut self, field: &'static str) -> Result<u32, IdxError> {
        let mut bytes = [0u8; 4];
        let mut found = 0;
        while found < 4 {
            match self.read(&mut bytes[found..])? {
                0 => {
                    return Err(IdxError::Truncated {
                        file: self.name.into(),
                        field,
                        expected: 4,
                        found: found as u64,
                    });
                }
                n => found += n,
            }
        }
        Ok(u32::from_be_bytes(bytes))
    }

    fn read(&mut self, buf: &mut [u8]) -> Result<usize, IdxError> {
        loop {
            match self.reader.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|e| self.fail(e)),
            }
        }
    }

    fn fail(&self, source: io::Error) -> IdxError {
        let file = self.name.to_string();
        if self.gzip { IdxError::Gzip { file, source } } else { IdxError::Io { file, source } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn images(bytes: &[u8]) -> Result<Images, IdxError> {
        decode_images(bytes, bytes.len() as u64, "f")
    }

    fn header(magic: u32, dims: &[u32]) -> Vec<u8> {
        [magic].iter().chain(dims).flat_map(|w| w.to_be_bytes()).collect()
    }

    fn small() -> Vec<u8> {
        [header(0x803, &[2, 2, 3]), (0..12).collect()].concat()
    }

    #[test]
    fn reads_what_the_format_says_raw_and_gzipped() {
        for bytes in [small(), gz(&small()), [gz(&small()[..7]), gz(&small()[7..])].concat()] {
            let read = images(&bytes).unwrap();
            assert_eq!((read.shape, read.len(), read.pixels), ([1, 2, 3], 2, (0..12).collect::<Vec<u8>>()));
            assert_eq!(read.sha256, hex(&Sha256::digest(small())));
        }
        let colour = [header(0x804, &[1, 3, 2, 1]), vec![7; 6]].concat();
        assert_eq!(images(&colour).unwrap().shape, [3, 2, 1]);
        let labels = [header(0x801, &[3]), vec![9, 0, 255]].concat();
        assert_eq!(decode_labels(&labels[..], labels.len() as u64, "f").unwrap().labels, [9, 0, 255]);
    }

    #[test]
    fn refuses_every_early_end() {
        for whole in [small(), gz(&small())] {
            for end in 0..whole.len() {
                let message = images(&whole[..end]).expect_err("an early end").to_string();
                assert!(message.starts_with("f: "), "{message}");
            }
        }
    }

    #[test]
    fn refuses_what_follows_the_end() {
        let more = [small(), vec![0]].concat();
        assert!(matches!(images(&more), Err(IdxError::Trailing { expected: 12, .. })));
        assert!(matches!(images(&gz(&more)), Err(IdxError::Trailing { expected: 12, .. })));
        assert!(matches!(images(&[gz(&small()), b"garbage".to_vec()].concat()), Err(IdxError::Gzip { .. })));
    }

    #[test]
    fn refuses_a_damaged_gzip_checksum() {
        let mut bytes = gz(&small());
        let crc = bytes.len() - 8;
        bytes[crc] ^= 1;
        assert!(matches!(images(&bytes), Err(IdxError::Gzip { .. })));
    }

    #[test]
    fn huge_headers_allocate_nothing() {
        for dims in [[u32::MAX; 3], [60_000, 28, 28], [1 << 16, 1 << 8, 1 << 8]] {
            let bytes = [header(0x803, &dims), vec![0; 100]].concat();
            assert!(matches!(images(&bytes), Err(IdxError::TooLarge { .. })), "{dims:?}");
            assert!(matches!(images(&gz(&bytes)), Err(IdxError::TooLarge { .. })), "{dims:?}");
        }
    }

    #[test]
    fn a_gzip_bomb_is_read_no_further_than_its_header_says() {
        let bomb = gz(&[header(0x803, &[1, 2, 2]), vec![0; 64 << 20]].concat());
        assert!(matches!(images(&bomb), Err(IdxError::Trailing { expected: 4, .. })));
    }

    #[test]
    fn names_the_field() {
        let message = images(&header(0x803, &[5, 0, 28])).unwrap_err().to_string();
        assert_eq!(message, "f: rows is 0, it must be at least 1");
        let message = images(&header(0x801, &[1])).unwrap_err().to_string();
        assert!(message.contains("0x00000801") && message.contains("images"), "{message}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(c in 1usize..4, h in 1usize..6, w in 1usize..6, n in 1usize..5, seed: u8) {
            let pixels: Vec<u8> = (0..n * c * h * w).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
            let mut bytes = Vec::new();
            write_images(&mut bytes, [c, h, w], &pixels).unwrap();
            let read = images(&bytes).unwrap();
            prop_assert_eq!((read.shape, read.pixels), ([c, h, w], pixels));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), magic in 0u32..0x806) {
            let _ = images(&bytes);
            let _ = images(&[magic.to_be_bytes().to_vec(), bytes.clone()].concat());
            let _ = images(&gz(&[magic.to_be_bytes().to_vec(), bytes].concat()));
        }
    }
}
