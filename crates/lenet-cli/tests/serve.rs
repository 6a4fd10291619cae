//! `lenet serve` as a process.

use crate::kit::{lenet, refused, run, source};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

fn get(address: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
#[cfg(unix)]
fn serves_until_it_is_asked_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, &["train", "fast", "--epochs", "1", "--data", &source(), "--out", "runs/a"]);
    std::fs::write(dir.join("token"), "0123456789abcdef\n").unwrap();
    let args = ["serve", "runs/a", "b=runs/a/model", "--addr", "127.0.0.1:0", "--token-file", "token"];
    let mut server = lenet(dir, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("http://").unwrap().to_string();

    assert!(get(&address, "/v2/health/ready", "").starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/v1/models", "").starts_with("HTTP/1.1 401"));
    let models = get(&address, "/v1/models", "Authorization: Bearer 0123456789abcdef\r\nX-Request-Id: seen\r\n");
    assert!(models.contains("\"name\":\"a\"") && models.contains("\"name\":\"b\""), "{models}");

    let kill = std::process::Command::new("kill").arg(server.id().to_string()).status().unwrap();
    assert!(kill.success());
    let output = server.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let log = String::from_utf8(output.stderr).unwrap();
    let events: Vec<serde_json::Value> = log.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    let request = events.iter().find(|e| e["id"] == "seen").unwrap_or_else(|| panic!("{log}"));
    assert_eq!((&request["path"], &request["status"]), (&"/v1/models".into(), &200.into()));
    assert_eq!(events.last().map(|e| &e["event"]), Some(&"stop".into()), "{log}");
    assert!(!log.contains("0123456789abcdef"), "the token must not be logged: {log}");
}

#[test]
fn says_why_it_does_not_serve() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    refused(dir, &["serve", "nowhere", "--addr", "127.0.0.1:0"], 1, &["nowhere", "config.json"]);
    refused(dir, &["serve", "nowhere", "--addr", "0.0.0.0:0"], 2, &["0.0.0.0:0", "--token-file"]);
    refused(dir, &["serve", "a b=nowhere"], 2, &["a b", "NAME=DIR"]);
    std::fs::write(dir.join("token"), "short").unwrap();
    refused(dir, &["serve", "nowhere", "--token-file", "token"], 2, &["token", "16"]);
}
