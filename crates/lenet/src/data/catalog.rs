//! The datasets that are known by name: what they hold, where they lie, and how their content is told from others'.

/// A dataset that is known by name.
#[derive(Debug)]
pub struct Entry {
    /// What recipes call it.
    pub name: &'static str,
    /// One line about it.
    pub title: &'static str,
    /// Names of the classes, in the order of the labels.
    pub classes: &'static [&'static str],
    /// Channels, rows, columns.
    pub shape: [usize; 3],
    /// Number of training images.
    pub train: usize,
    /// Number of test images.
    pub test: usize,
    /// Training images, training labels, test images, test labels.
    pub files: [FileSpec; 4],
    /// How mirrors serve it.
    pub packaging: Packaging,
    /// Debian's package of it, if there is one.
    pub debian: Option<&'static str>,
    /// The file's label of the first class.
    pub first_label: u8,
    /// Whether the files hold columns where rows are meant.
    pub transposed: bool,
    /// What may be done with it.
    pub licence: &'static str,
    /// How its authors want to be cited.
    pub citation: &'static str,
}

/// One IDX file of a dataset.
#[derive(Debug)]
pub struct FileSpec {
    /// Name of the decompressed file.
    pub name: &'static str,
    /// Bytes of the decompressed file.
    pub bytes: u64,
    /// SHA-256 of the decompressed file, where it is known.
    pub sha256: Option<&'static str>,
    /// SHA-256 of the official gzip file, where that of its content is not known.
    pub gz_sha256: Option<&'static str>,
}

/// How mirrors serve a dataset.
#[derive(Debug)]
pub enum Packaging {
    /// One gzip file each, at the mirror's address followed by the file's name and `.gz`.
    Files {
        /// Addresses that end in `/`. Plain HTTP is good enough: the checksum decides.
        mirrors: &'static [&'static str],
    },
    /// One zip archive that holds the gzip files.
    Zip {
        /// Addresses of the archive.
        urls: &'static [&'static str],
        /// Name of the archive at a mirror of one's own.
        file: &'static str,
        /// Bytes of the archive.
        bytes: u64,
        /// SHA-256 of the archive.
        sha256: &'static str,
        /// Directory within the archive, with the final `/`.
        directory: &'static str,
    },
}

impl Entry {
    /// Names of the classes, as datasets hold them.
    pub fn class_names(&self) -> Vec<String> {
        self.classes.iter().map(|c| c.to_string()).collect()
    }

    /// Bytes of the decompressed files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }
}

/// All datasets that are known by name.
pub fn entries() -> &'static [Entry] {
    ENTRIES
}

/// The dataset of a name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|e| e.name == name)
}

const DIGITS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

const LETTERS: &[&str] = &[
    "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W",
    "X", "Y", "Z",
];

/// Letters whose two cases look alike share the upper-case class (Cohen et al. 2017, section II).
const BALANCED: &[&str] = &[
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M",
    "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b", "d", "e", "f", "g", "h", "n", "q", "r",
    "t",
];

const FASHION: &[&str] =
    &["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

const fn images(name: &'static str, n: u64, sha256: Option<&'static str>, gz: Option<&'static str>) -> FileSpec {
    FileSpec { name, bytes: 16 + n * 28 * 28, sha256, gz_sha256: gz }
}

const fn labels(name: &'static str, n: u64, sha256: Option<&'static str>, gz: Option<&'static str>) -> FileSpec {
    FileSpec { name, bytes: 8 + n, sha256, gz_sha256: gz }
}

/// The EMNIST archive. Size and SHA-256 are those of TensorFlow Datasets (`url_checksums/emnist.txt`). Checksums of the
/// files in it are not published: what came out of a verified archive is recorded, and compared from then on.
const EMNIST: Packaging = Packaging::Zip {
    urls: &[
        "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
        "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
    ],
    file: "gzip.zip",
    bytes: 561_753_746,
    sha256: "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
    directory: "gzip/",
};

const EMNIST_LICENCE: &str = "none stated; derived from NIST Special Database 19";
const EMNIST_CITATION: &str = "G. Cohen, S. Afshar, J. Tapson, A. van Schaik: EMNIST: an extension of MNIST to handwritten letters, arXiv:1702.05373";

static ENTRIES: &[Entry] = &[
    // Content checksums: computed from Debian's package `dataset-fashion-mnist`; the gzip files at the mirrors are
    // other compressions of the same content.
    Entry {
        name: "fashion-mnist",
        title: "70,000 pictures of clothes in 10 classes",
        classes: FASHION,
        shape: [1, 28, 28],
        train: 60_000,
        test: 10_000,
        files: [
            images(
                "train-images-idx3-ubyte",
                60_000,
                Some("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
                None,
            ),
            labels(
                "train-labels-idx1-ubyte",
                60_000,
                Some("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
                None,
            ),
            images(
                "t10k-images-idx3-ubyte",
                10_000,
                Some("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
                None,
            ),
            labels(
                "t10k-labels-idx1-ubyte",
                10_000,
                Some("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
                None,
            ),
        ],
        packaging: Packaging::Files {
            mirrors: &[
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            ],
        },
        debian: Some("dataset-fashion-mnist"),
        first_label: 0,
        transposed: false,
        licence: "MIT, © 2017 Zalando SE",
        citation: "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms, arXiv:1708.07747",
    },
    // Content checksums: the same in several independent public projects; the gzip files they come from have the SHA-256
    // of TensorFlow Datasets (`url_checksums/mnist.txt`) and the MD5 of torchvision.
    Entry {
        name: "mnist",
        title: "70,000 handwritten digits",
        classes: DIGITS,
        shape: [1, 28, 28],
        train: 60_000,
        test: 10_000,
        files: [
            images(
                "train-images-idx3-ubyte",
                60_000,
                Some("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
                None,
            ),
            labels(
                "train-labels-idx1-ubyte",
                60_000,
                Some("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
                None,
            ),
            images(
                "t10k-images-idx3-ubyte",
                10_000,
                Some("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
                None,
            ),
            labels(
                "t10k-labels-idx1-ubyte",
                10_000,
                Some("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
                None,
            ),
        ],
        packaging: Packaging::Files {
            mirrors: &[
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
            ],
        },
        debian: None,
        first_label: 0,
        transposed: false,
        licence: "CC BY-SA 3.0, © Yann LeCun and Corinna Cortes",
        citation: "Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition, Proceedings of the IEEE 86, 1998",
    },
    // Checksums of the gzip files: TensorFlow Datasets (`url_checksums/kmnist.txt`). Those of the content are not
    // published: what came out of a verified gzip file is recorded, and compared from then on.
    Entry {
        name: "kmnist",
        title: "70,000 cursive Japanese characters in 10 classes (Kuzushiji-MNIST)",
        classes: &["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"],
        shape: [1, 28, 28],
        train: 60_000,
        test: 10_000,
        files: [
            images(
                "train-images-idx3-ubyte",
                60_000,
                None,
                Some("51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            ),
            labels(
                "train-labels-idx1-ubyte",
                60_000,
                None,
                Some("e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            ),
            images(
                "t10k-images-idx3-ubyte",
                10_000,
                None,
                Some("edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            ),
            labels(
                "t10k-labels-idx1-ubyte",
                10_000,
                None,
                Some("20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
            ),
        ],
        packaging: Packaging::Files {
            mirrors: &[
                "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
                // A proxy may allow this one only.
                "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            ],
        },
        debian: None,
        first_label: 0,
        transposed: false,
        licence: "CC BY-SA 4.0, © ROIS-DS Center for Open Data in the Humanities",
        citation: "T. Clanuwat et al.: Deep learning for classical Japanese literature, arXiv:1812.01718",
    },
    Entry {
        name: "emnist-letters",
        title: "145,600 handwritten letters in 26 classes",
        classes: LETTERS,
        shape: [1, 28, 28],
        train: 124_800,
        test: 20_800,
        files: [
            images("emnist-letters-train-images-idx3-ubyte", 124_800, None, None),
            labels("emnist-letters-train-labels-idx1-ubyte", 124_800, None, None),
            images("emnist-letters-test-images-idx3-ubyte", 20_800, None, None),
            labels("emnist-letters-test-labels-idx1-ubyte", 20_800, None, None),
        ],
        packaging: EMNIST,
        debian: None,
        first_label: 1,
        transposed: true,
        licence: EMNIST_LICENCE,
        citation: EMNIST_CITATION,
    },
    Entry {
        name: "emnist-balanced",
        title: "131,600 handwritten digits and letters in 47 classes",
        classes: BALANCED,
        shape: [1, 28, 28],
        train: 112_800,
        test: 18_800,
        files: [
            images("emnist-balanced-train-images-idx3-ubyte", 112_800, None, None),
            labels("emnist-balanced-train-labels-idx1-ubyte", 112_800, None, None),
            images("emnist-balanced-test-images-idx3-ubyte", 18_800, None, None),
            labels("emnist-balanced-test-labels-idx1-ubyte", 18_800, None, None),
        ],
        packaging: EMNIST,
        debian: None,
        first_label: 0,
        transposed: true,
        licence: EMNIST_LICENCE,
        citation: EMNIST_CITATION,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_consistent() {
        for entry in entries() {
            assert_eq!(find(entry.name).map(|e| e.name), Some(entry.name));
            let per_image = entry.shape.iter().product::<usize>() as u64;
            let [a, b, c, d] = &entry.files;
            assert_eq!(a.bytes, 16 + entry.train as u64 * per_image);
            assert_eq!(c.bytes, 16 + entry.test as u64 * per_image);
            assert_eq!((b.bytes, d.bytes), (8 + entry.train as u64, 8 + entry.test as u64));
            for file in &entry.files {
                let verified = matches!(entry.packaging, Packaging::Zip { .. });
                let sum = file.sha256.or(file.gz_sha256);
                assert!(sum.is_some() || verified, "{}: nothing verifies {}", entry.name, file.name);
                assert!(sum.is_none_or(|s| s.len() == 64 && s.bytes().all(|b| b"0123456789abcdef".contains(&b))));
            }
        }
        assert_eq!(find("emnist-balanced").map(|e| e.classes.len()), Some(47));
        assert_eq!(find("emnist-letters").map(|e| e.classes.len()), Some(26));
        assert!(find("imagenet").is_none());
    }
}
