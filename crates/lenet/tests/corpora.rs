//! The corpora of the fuzz targets (`fuzz/corpus`), and attacks that are larger than a file in the tree should be: every
//! reader answers with a value or an error, in bounded memory.
//!
//! All is one test, and no other is in this program, since memory is counted for the whole process.

#[path = "../../../fuzz/src/lib.rs"]
mod targets;

use peak_alloc::PeakAlloc;
use std::path::Path;
use targets::{TARGETS, Target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Most bytes that a reader takes beside the input, for one byte of it, and in any case: a picture's decoder gets up to
/// 16 bytes a pixel of 4 million, others far less.
const PER_BYTE: usize = 1200;
const ALWAYS: usize = 16 << 20;
const PICTURE: usize = 128 << 20;

/// Hands an input to a target; whether it was accepted.
fn fed(name: &str, target: Target, what: &str, bytes: &[u8]) -> bool {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let accepted = target(bytes);
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let most = if name == "image" { PICTURE } else { ALWAYS + PER_BYTE * bytes.len() };
    assert!(taken <= most, "{name}: {what} takes {taken} bytes of memory, {most} are allowed");
    accepted
}

#[test]
fn every_reader_stands_its_corpus_and_large_attacks() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (name, target) in TARGETS {
        let mut seeds = 0;
        for entry in std::fs::read_dir(corpus.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let file = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(bytes.len() <= 8192, "{name}/{file} has {} bytes: corpora are kept small", bytes.len());
            let accepted = fed(name, target, &file, &bytes);
            // Files that are as they should be, so that what is tested behind is reached at all.
            if file.starts_with("seed-") {
                assert!(accepted, "{name}/{file} is refused");
                seeds += 1;
            }
        }
        assert!(seeds > 0, "{name} has no file that is accepted");
        for (what, bytes) in attacks(name) {
            assert!(!fed(name, target, what, &bytes), "{name}: {what} is accepted");
        }
    }
}

type Attack = (&'static str, Vec<u8>);

fn attacks(target: &str) -> Vec<Attack> {
    match target {
        "config" => config(),
        "safetensors" | "checkpoint" => safetensors(),
        "onnx" => onnx(),
        "recipe" => recipe(),
        "idx" => vec![("4 GiB claimed", [&[0, 0, 8, 1, 0xff, 0xff, 0xff, 0xff][..], &[0; 100]].concat())],
        _ => vec![("lines of text", b"P6\n1 1\n255\n".repeat(1000))],
    }
}

/// A config with this spec.
fn with_spec(input: &str, layers: &str) -> Vec<u8> {
    format!(
        "{{\"format_version\": 1, \"model_type\": \"lenet\", \"spec\": {{\"input\": {input}, \"layers\": [{layers}]}}, \
         \"normalization\": {{\"mean\": [0.0], \"std\": [1.0]}}, \"classes\": [\"a\"], \"training\": {{\"recipe\": \"\", \
         \"dataset\": \"\", \"epochs\": 1, \"seed\": 1}}}}"
    )
    .into_bytes()
}

fn config() -> Vec<Attack> {
    let block = "{\"type\": \"residual\", \"body\": [";
    let nested = block.repeat(20_000) + "{\"type\": \"flatten\"}" + &"]}".repeat(20_000);
    let dense = "{\"type\": \"flatten\"}, {\"type\": \"dense\", \"bias\": false, \"units\": 1}";
    let same = "0, ".repeat(100_000) + "0";
    let table = vec![format!("[{same}]"); 4].join(", ");
    let searched = format!(
        "{{\"type\": \"conv2d\", \"channels\": 4, \"window\": [2048, 2048], \"padding\": [1024, 1024], \
         \"connections\": [{table}]}}, {{\"type\": \"global_avg_pool\"}}, {dense}"
    );
    let activations = "{\"type\": \"relu\"}, ".repeat(60) + "{\"type\": \"global_avg_pool\"}, " + dense;
    vec![
        ("lists in lists", b"[".repeat(1 << 20)),
        ("objects in objects", b"{\"a\": ".repeat(1 << 18)),
        ("blocks in blocks", with_spec("[1, 4, 4]", &nested)),
        ("activations that no memory holds", with_spec("[1, 4096, 4096]", &activations)),
        ("weights that no file holds", with_spec("[1, 8192, 8192]", dense)),
        ("a product beyond 64 bits", with_spec("[4294967296, 4294967296, 4294967296]", dense)),
        ("a table of connections that repeats itself", with_spec("[1, 4, 4]", &searched)),
        ("two specs", [&with_spec("[1, 4, 4]", dense)[..], b"{}"].concat()),
        ("a key of two lines", br#"{"form\nat": 1}"#.to_vec()),
    ]
}

/// A file with this header, and zeros behind it.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

/// What the safetensors project and its audit list as malformed.
fn safetensors() -> Vec<Attack> {
    let tensor = |dtype: &str, shape: &str, offsets: &str, data: usize| {
        let header = format!("{{\"a\": {{\"dtype\": \"{dtype}\", \"shape\": {shape}, \"data_offsets\": {offsets}}}}}");
        with_header(&header, data)
    };
    let many: Vec<String> = (0..50_000)
        .map(|i| format!("\"{i}.weight\": {{\"dtype\": \"F32\", \"shape\": [0], \"data_offsets\": [0, 0]}}"))
        .collect();
    vec![
        ("nothing", Vec::new()),
        ("less than a length", vec![1, 0, 0]),
        ("a length alone", 2u64.to_le_bytes().to_vec()),
        ("a length beyond 63 bits", [&[0xff; 8][..], b"{}"].concat()),
        ("a header beyond the end", [&100u64.to_le_bytes()[..], b"{}"].concat()),
        ("a header of no bytes", vec![0; 16]),
        ("a header that is no UTF-8", [&2u64.to_le_bytes()[..], &[0xff, 0xfe]].concat()),
        ("a header that begins with a space", with_header(" {}", 0)),
        ("a list for a header", with_header("[]", 0)),
        ("lists in lists", with_header(&"[".repeat(1 << 20), 0)),
        ("objects in objects", with_header(&"{\"a\": ".repeat(1 << 18), 0)),
        ("an unknown type", tensor("F\\n32", "[1]", "[0, 4]", 4)),
        ("a shape beyond 64 bits", tensor("F32", "[4294967296, 4294967296, 4294967296]", "[0, 4]", 4)),
        ("a shape that overflows to what is there", tensor("F32", "[9223372036854775807, 2, 4]", "[0, 4]", 4)),
        ("a negative side", tensor("F32", "[-1]", "[0, 4]", 4)),
        ("offsets turned around", tensor("F32", "[1]", "[4, 0]", 4)),
        ("offsets beyond the end", tensor("F32", "[2]", "[0, 8]", 4)),
        ("offsets beyond 64 bits", tensor("F32", "[2]", "[18446744073709551612, 18446744073709551620]", 4)),
        ("data for other sizes", tensor("F32", "[1]", "[0, 8]", 8)),
        ("a gap at the start", tensor("F32", "[1]", "[4, 8]", 8)),
        ("bytes behind the last tensor", tensor("F32", "[1]", "[0, 4]", 8)),
        ("half a byte", tensor("F4", "[1]", "[0, 1]", 1)),
        (
            "one name twice",
            with_header(
                r#"{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                    "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#,
                4,
            ),
        ),
        ("numbers in the metadata", with_header(r#"{"__metadata__": {"a": 1}}"#, 0)),
        ("tensors that are nothing, by the thousand", with_header(&format!("{{{}}}", many.join(", ")), 0)),
    ]
}

fn recipe() -> Vec<Attack> {
    let named = |text: String| format!("preset = \"lenet\"\n{text}").into_bytes();
    let block = "{type = \"residual\", body = [";
    let nested = |n: usize| named(format!("[model]\nlayers = [{}{}]", block.repeat(n), "]}".repeat(n)));
    vec![
        ("lists in lists", named(format!("a = {}", "[".repeat(200_000)))),
        ("tables in tables", named(format!("a = {}", "{a = ".repeat(100_000)))),
        ("a key of a thousand parts", named(format!("{} = 1", vec!["a"; 100_000].join(".")))),
        ("a section of a thousand parts", named(format!("[{}]", vec!["a"; 100_000].join(".")))),
        ("blocks in blocks", nested(6)),
        ("blocks in blocks without end", nested(20_000)),
        ("all in one line", named(format!("a = [{}]", "1, ".repeat(250_000)))),
        ("as many keys as fit", named((0..50_000).map(|i| format!("k{i} = 1\n")).collect())),
        ("a number of a thousand digits", named(format!("[train]\nlr = {}", "9".repeat(1000)))),
    ]
}

/// A field of a message, in protobuf's encoding.
fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    for mut n in [number << 3 | 2, content.len() as u64] {
        while n >= 0x80 {
            all.push(n as u8 | 0x80);
            n >>= 7;
        }
        all.push(n as u8);
    }
    [all, content.to_vec()].concat()
}

fn int(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

/// A node, of one output.
fn node(op: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|i| field(1, i.as_bytes())).collect();
    field(1, &[inputs, field(2, output.as_bytes()), field(4, op.as_bytes())].concat())
}

/// A file whose graph goes from `x`, of this shape, to `y`.
fn graph(shape: [u8; 4], nodes: &[u8], constants: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = shape.iter().flat_map(|d| field(1, &int(1, *d))).collect();
    let kind = field(1, &[int(1, 1), field(2, &dims)].concat());
    let input = field(11, &[field(1, b"x"), field(2, &kind)].concat());
    let graph = [nodes, constants, &input, &field(12, &field(1, b"y"))].concat();
    [field(8, &int(2, 18)), field(7, &graph)].concat()
}

fn constant(name: &str, dims: &[u8], values: usize) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| int(1, *d)).collect();
    field(5, &[dims, int(2, 1), field(8, name.as_bytes()), field(9, &vec![0; 4 * values])].concat())
}

/// `nodes` one behind the other, from `x` to `y`, each with the operator and the further inputs given.
fn chain(op: &str, further: &[&str], nodes: usize) -> Vec<u8> {
    let names: Vec<String> = (0..=nodes).map(|i| format!("v{i}")).collect();
    let name = |i: usize| {
        if i == 0 {
            "x"
        } else if i == nodes {
            "y"
        } else {
            names[i].as_str()
        }
    };
    (0..nodes).flat_map(|i| node(op, &[&[name(i)], further].concat(), name(i + 1))).collect()
}

fn onnx() -> Vec<Attack> {
    let image = [1, 100, 8, 8];
    // Blocks within blocks: v(i + 1) = relu(x) + (relu(x) + …), each from the datum before.
    let mut blocks = node("Relu", &["x"], "a0");
    for i in 0..500 {
        blocks.extend(node("Softplus", &[&format!("a{i}")], &format!("a{}", i + 1)));
    }
    for i in (0..500).rev() {
        let inner = if i == 499 { "a500".to_string() } else { format!("b{}", i + 1) };
        let name = if i == 0 { "y".to_string() } else { format!("b{i}") };
        blocks.extend(node("Add", &[&inner, &format!("a{i}")], &name));
    }
    vec![
        ("one constant in thousands of layers", {
            graph(image, &chain("Conv", &["w"], 9000), &constant("w", &[100, 100, 1, 1], 10_000))
        }),
        ("a constant that is turned thousands of times", {
            let turned = chain("Transpose", &[], 9000);
            // The chain begins with a constant here, and ends in a dense layer.
            let nodes = [turned, node("Flatten", &["i"], "f"), node("MatMul", &["f", "y"], "z")].concat();
            let file = graph([1, 1, 10, 10], &nodes, &constant("x", &[100, 100], 10_000));
            let renamed = |from: &[u8], to: &[u8], file: Vec<u8>| {
                let at = file.windows(from.len()).rposition(|w| w == from).unwrap();
                [&file[..at], to, &file[at + from.len()..]].concat()
            };
            // The image is `i`, the result `z`.
            let file = renamed(&field(12, &field(1, b"y")), &field(12, &field(1, b"z")), file);
            renamed(&[0x0a, 1, b'x', 0x12], &[0x0a, 1, b'i', 0x12], file)
        }),
        ("a number a channel in thousands of sums", {
            graph(image, &chain("Mul", &["c"], 9000), &constant("c", &[100, 1, 1], 100))
        }),
        ("thousands of functions", graph(image, &chain("Exp", &[], 9000), &[])),
        ("blocks in blocks", graph(image, &blocks, &[])),
        ("an image of no pixel", graph([1, 0, 8, 8], &chain("Mul", &["c"], 3), &constant("c", &[0, 1, 1], 0))),
        ("messages in messages", (0..2000).fold(vec![0], |inner, _| field(7, &inner))),
        ("a name of two lines", graph(image, &node("Re\nlu", &["x"], "y"), &[])),
    ]
}
