//! A server in this process, and clients that speak to it in bytes.

#[path = "../../../lenet/tests/kit/files.rs"]
mod files;
#[path = "../../../lenet/tests/kit/model.rs"]
mod models;

pub use files::source;

use lenet::engine::{Batch, CpuOptions, Pixels};
use lenet::model::Model;
use lenet::spec::Normalization;
use lenet::spec::{Init, Recipe, TrainRecipe};
use lenet_serve::{Options, Server, Source};
use models::{preset, untrained};
use serde_json::Value;
use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// An untrained model: what it says is noise, but always the same noise.
pub fn model(seed: u64, flip_test: bool) -> Model {
    let how = TrainRecipe { init: Init::KaimingUniform, seed, ..TrainRecipe::default() };
    let mut model = untrained(preset("lenet-relu-max"), &how);
    model.normalization = Normalization { mean: vec![0.2860], std: vec![0.3530] };
    model.training.recipe = "lenet-relu-max".into();
    Model { flip_test, ..model }
}

/// Bytes that look like nothing, the same for the same seed.
pub fn pixels(n: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x >> 24) as u8
    };
    (0..784 * n).map(next).collect()
}

/// The logits of the engine itself, without a server.
pub fn logits(model: &Model, pixels: &[u8]) -> Vec<f32> {
    let mut engine = model.engine(CpuOptions { threads: 1, path: None }).unwrap();
    let indices: Vec<u32> = (0..pixels.len() as u32 / 784).collect();
    let tables = model.normalization.tables();
    let mut logits = vec![0.0; 10 * indices.len()];
    let batch = Batch { pixels: Pixels::Bytes { data: pixels, tables: &tables }, labels: &[], indices: &indices };
    model.logits(&mut engine, &batch, &mut logits).unwrap();
    logits
}

/// What the network sees of the pixels.
pub fn floats(model: &Model, pixels: &[u8]) -> Vec<f32> {
    let tables = model.normalization.tables();
    pixels.iter().map(|p| tables[0][usize::from(*p)]).collect()
}

pub fn png(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let image = image::GrayImage::from_raw(width, height, pixels.to_vec()).unwrap();
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Options of tests: any port, two threads, patience where nothing is to time out.
pub fn options() -> Options {
    Options { address: SocketAddr::from(([127, 0, 0, 1], 0)), threads: 2, log_requests: false, ..Options::default() }
}

pub fn start(dirs: &[&Path], options: Options) -> Server {
    let sources =
        dirs.iter().enumerate().map(|(i, dir)| Source { name: format!("m{i}"), path: dir.to_path_buf() }).collect();
    Server::start(sources, options).unwrap()
}

/// A server of this model, and the folder that it comes from.
pub fn served(model: &Model, options: Options) -> (TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let server = start(&[dir.path()], options);
    (dir, server)
}

/// What the server counts.
pub fn metrics(server: &Server) -> String {
    String::from_utf8(Client::new(server.address()).get("/metrics").body).unwrap()
}

/// A run that has done one epoch, and half of the next one's line.
pub fn run(parent: &Path, name: &str) {
    let run = parent.join(name);
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("recipe.toml"), Recipe::load("lenet").unwrap().to_toml()).unwrap();
    std::fs::write(run.join("metrics.jsonl"), "{\"epoch\":1,\"test_accuracy\":0.5}\n{\"epoch\":2,").unwrap();
}

/// A connection that is kept.
pub struct Client(pub TcpStream);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The value of a header, whose name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|l| l.split_once(": ")).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// Asserts status and that the error says something; returns what.
    pub fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let error = self.json()["error"].as_str().unwrap().to_string();
        assert!(!error.is_empty() && !error.contains('\n'));
        error
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        // So that a test fails rather than hangs.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client(stream)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// Sends a request with a body and reads the answer.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let n = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {n}\r\n{headers}\r\n");
        self.send(&[head.as_bytes(), body].concat());
        self.answer()
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, "", b"")
    }

    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer")
    }

    /// Reads an answer; nothing if the connection ends before one.
    pub fn try_answer(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if self.0.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Answer { status, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |n| n.parse().unwrap());
        answer.body = vec![0; length];
        self.0.read_exact(&mut answer.body).ok()?;
        Some(answer)
    }

    /// Whether the server has closed the connection, or does so soon.
    pub fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
