//! Models that change while they are served, and the end of a server.

use crate::kit::*;
use lenet_serve::Options;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

fn top(address: SocketAddr, picture: &[u8]) -> Value {
    Client::new(address).ask("POST", "/v1/predict?top=10", "", picture).json()
}

fn version(address: SocketAddr) -> Value {
    Client::new(address).get("/v2/models/m0").json()["versions"][0].clone()
}

fn damage(dir: &Path) {
    let path = dir.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_good_model_replaces_the_old_one_and_a_bad_one_does_not() {
    let (dir, server) = served(&model(1, false), options());
    let picture = png(&pixels(1, 4), 28, 28);
    let first = top(server.address(), &picture);

    damage(dir.path());
    server.reload();
    assert_eq!(top(server.address(), &picture), first);
    std::fs::write(dir.path().join("config.json"), "{").unwrap();
    server.reload();
    assert_eq!(top(server.address(), &picture), first);
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    server.reload();
    assert_eq!((top(server.address(), &picture), version(server.address())), (first.clone(), "1".into()));
    let metrics = metrics(&server);
    assert!(metrics.contains("lenet_reloads_total{model=\"m0\",result=\"refused\"} 3\n"), "{metrics}");

    // Values that no network can compute with.
    let mut endless = model(2, false);
    endless.parameters.fill(f32::MAX);
    endless.save(dir.path()).unwrap();
    server.reload();
    assert_eq!(top(server.address(), &picture), first);

    model(2, false).save(dir.path()).unwrap();
    server.reload();
    assert_eq!(version(server.address()), "2");
    assert_ne!(top(server.address(), &picture)["top"], first["top"]);
}

#[test]
fn changed_files_are_noticed() {
    let often = Options { poll: Duration::from_millis(20), ..options() };
    let (dir, server) = served(&model(1, false), often);
    assert_eq!(version(server.address()), "1");
    // Another length, so that the coarsest clock does not matter.
    let mut other = model(2, false);
    other.training.recipe = "another".into();
    other.save(dir.path()).unwrap();
    let replaced = (0..3000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        version(server.address()) == "2"
    });
    assert!(replaced);
}

#[test]
fn a_reload_costs_no_request() {
    let (_dir, server) = served(&model(1, false), options());
    let picture = png(&pixels(1, 4), 28, 28);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::new(server.address());
                for _ in 0..200 {
                    assert_eq!(client.ask("POST", "/v1/predict", "", &picture).status, 200);
                }
            });
        }
        (0..10).for_each(|_| server.reload());
    });
    assert_eq!(version(server.address()), "11");
}

#[test]
fn open_requests_end_before_the_server_does() {
    let (_dir, server) = served(&model(1, false), options());
    let address = server.address();
    let picture = png(&pixels(1, 4), 28, 28);
    let (mut idle, mut open) = (Client::new(address), Client::new(address));
    assert_eq!(idle.get("/v2").status, 200);
    let head = format!("POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", picture.len());
    open.send(&[head.as_bytes(), &picture[..10]].concat());
    // The request is open once its head was read, which an answer on a later connection does not prove; a pause does, well enough.
    std::thread::sleep(Duration::from_millis(300));
    server.stop();
    assert!(idle.is_closed());
    open.send(&picture[10..]);
    assert_eq!(open.answer().status, 200);
    server.wait();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_server_does_not_wait_for_ever() {
    let limits = Options { drain_time: Duration::from_millis(200), ..options() };
    let (_dir, server) = served(&model(1, false), limits);
    let mut open = Client::new(server.address());
    open.send(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n");
    std::thread::sleep(Duration::from_millis(300));
    server.stop();
    server.wait();
    assert!(open.is_closed());
}
