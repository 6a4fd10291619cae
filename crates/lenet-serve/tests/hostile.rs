//! Clients that mean no good, or do it badly: each costs itself an answer, and nobody else anything.

use crate::kit::*;
use lenet_serve::{Options, ServeError, Server, Token};
use std::net::SocketAddr;
use std::time::Duration;

fn picture() -> Vec<u8> {
    png(&pixels(1, 9), 28, 28)
}

/// Asserts that a client of good will gets its answer.
fn others_are_answered(server: &Server) {
    let mut client = Client::new(server.address());
    assert_eq!(client.ask("POST", "/v1/predict", "", &picture()).status, 200);
    assert_eq!(client.get("/v2/health/ready").status, 200);
}

#[test]
fn slow_heads_and_idle_connections_are_closed() {
    let (_dir, server) = served(&model(1, false), Options { head_time: Duration::from_secs(2), ..options() });
    let mut idle = Client::new(server.address());
    let mut slow = Client::new(server.address());
    slow.send(b"GET / HTTP/1.1\r\nHost: local");
    let mut kept = Client::new(server.address());
    assert_eq!(kept.get("/v2").status, 200);
    others_are_answered(&server);
    assert!(idle.is_closed() && slow.is_closed() && kept.is_closed());
    others_are_answered(&server);
}

#[test]
fn half_bodies_end_in_time_or_with_their_client() {
    let (_dir, server) = served(&model(1, false), Options { body_time: Duration::from_secs(3), ..options() });
    let head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf";
    let mut waiting = Client::new(server.address());
    waiting.send(head);
    let mut gone = Client::new(server.address());
    gone.send(head);
    drop(gone);
    others_are_answered(&server);
    waiting.answer().refused(408);
    // That the other one has gone is seen a little later.
    let counted = |text: &str| {
        ["400", "499"].iter().any(|s| text.contains(&format!("{{route=\"/v1/predict\",status=\"{s}\"}} 1\n")))
    };
    let seen = (0..600).any(|_| counted(&metrics(&server)) || (std::thread::sleep(Duration::from_millis(50)), false).1);
    assert!(seen, "{}", metrics(&server));
}

#[test]
fn large_bodies_are_refused_before_they_are_read() {
    let (_dir, server) = served(&model(1, false), options());
    let mut client = Client::new(server.address());
    client.send(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n");
    client.answer().refused(413);
    // Of one without a length no more is read than the limit.
    let (_dir, server) = served(&model(1, false), Options { max_body: 10_000, ..options() });
    let mut client = Client::new(server.address());
    client.send(b"POST /v2/models/m0/infer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..11 {
        client.send(&[b"3e8\r\n", &[b' '; 1000][..], b"\r\n"].concat());
    }
    client.answer().refused(413);
    others_are_answered(&server);
}

/// A PNG of one grey value: few bytes of file for many of pixels.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    use std::io::Write;
    let chunk = |kind: &[u8], data: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(&[kind, data].concat());
        [&(data.len() as u32).to_be_bytes()[..], kind, data, &crc.sum().to_be_bytes()].concat()
    };
    let mut pixels = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let row = vec![0u8; width as usize + 1];
    (0..height).for_each(|_| pixels.write_all(&row).unwrap());
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &pixels.finish().unwrap()), chunk(b"IEND", b"")];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunks.concat()].concat()
}

#[test]
fn pictures_that_swell_are_refused_before_they_do() {
    let (_dir, server) = served(&model(1, false), options());
    let mut client = Client::new(server.address());
    let error = client.ask("POST", "/v1/predict", "", &bomb(8000, 8000)).refused(413);
    assert!(error.contains("8000×8000"), "{error}");
    // Its header says little, its data holds much.
    let lie = {
        let (mut lie, small) = (bomb(4000, 4000), bomb(20, 20));
        lie[..33].copy_from_slice(&small[..33]);
        lie
    };
    let answer = client.ask("POST", "/v1/predict", "", &lie);
    assert!([200, 422].contains(&answer.status), "{answer:?}");
    assert_eq!(client.ask("POST", "/v1/predict", "", &bomb(2000, 2000)).status, 200);
}

#[test]
fn paths_are_names_and_nothing_else() {
    let (_dir, server) = served(&model(1, false), options());
    let mut client = Client::new(server.address());
    for path in [
        "/../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/v2/models/../../etc/passwd",
        "/v2/models/..",
        "/v2/models//",
        "/v2/models/m0/",
        "/v2/models/%6d0",
        "/v2/models/m0/versions",
        "/index.html/..",
        "/v1/predict/",
        "/.env",
        "/\\..\\..",
    ] {
        client.get(path).refused(404);
    }
    client.ask("POST", "/v1/predict?model=/etc/passwd", "", &picture()).refused(404);
    client.ask("POST", "/v1/predict?model=http://127.0.0.1/", "", &picture()).refused(404);
    client.ask("DELETE", "/v2/models/m0", "", b"").refused(405);
}

#[test]
fn nonsense_ends_its_own_connection_only() {
    let (_dir, server) = served(&model(1, false), options());
    let long = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; 100_000]].concat();
    let smuggled =
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde";
    let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for bytes in [&b"\0\xff\xfe\r\n\r\n"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &tls, smuggled, &long] {
        let mut client = Client::new(server.address());
        let _ = std::io::Write::write_all(&mut client.0, bytes);
        let answer = client.try_answer();
        assert!(answer.as_ref().is_none_or(|a| (400..500).contains(&a.status)), "{answer:?}");
        assert!(client.is_closed());
    }
    others_are_answered(&server);
}

#[test]
fn each_bad_client_is_one_line_of_the_log_and_others_are_answered() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let limits = Options {
        head_time: Duration::from_secs(3),
        body_time: Duration::from_secs(3),
        log_file: Some(log.path().into()),
        ..options()
    };
    let (_dir, server) = served(&model(1, false), limits);
    let post = |path: &str, length: usize, body: &[u8]| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    let infer = |shape: &str, first: &str| {
        let values = vec![first; 1].into_iter().chain(vec!["0"; 783]).collect::<Vec<_>>().join(",");
        let json = format!(r#"{{"inputs":[{{"name":"input","datatype":"FP32","shape":{shape},"data":[{values}]}}]}}"#);
        post("/v2/models/m0/infer", json.len(), json.as_bytes())
    };
    let nan = {
        let json = r#"{"inputs":[{"name":"input","datatype":"FP32","shape":[1,1,28,28],"parameters":{"binary_data_size":3136}}]}"#;
        let body = [json.as_bytes(), &f32::NAN.to_le_bytes().repeat(784)].concat();
        let head = format!(
            "POST /v2/models/m0/infer HTTP/1.1\r\nHost: localhost\r\nInference-Header-Content-Length: {}\r\n",
            json.len()
        );
        [head.as_bytes(), format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()
    };
    let (swells, many) = (bomb(8000, 8000), vec![b' '; 8 << 20]);
    let kinds: [(&str, Vec<u8>); 9] = [
        ("slow head", b"GET /v2 HTTP/1.1\r\nHost: loc".to_vec()),
        ("half a body", post("/v1/predict", 1000, b"half")),
        ("1 GB", post("/v1/predict", 1 << 30, b"")),
        ("bomb", post("/v1/predict", swells.len(), &swells)),
        ("much of nothing", post("/v2/models/m0/infer", many.len(), &many)),
        ("wrong shape", infer("[1,28,28,1]", "0")),
        ("NaN", nan),
        ("infinite", infer("[1,1,28,28]", "1e99")),
        ("path", b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    let mut bad: Vec<(&str, Client)> = (0..1000).map(|_| ("idle", Client::new(server.address()))).collect();
    for (kind, bytes) in &kinds {
        for _ in 0..3 {
            let mut client = Client::new(server.address());
            client.send(bytes);
            others_are_answered(&server);
            bad.push((kind, client));
        }
    }
    let mut good = Client::new(server.address());
    let mut names = Vec::new();
    for (kind, mut client) in bad {
        names.push((kind, client.0.local_addr().unwrap().to_string()));
        assert!(client.is_closed(), "{kind}");
        if names.len() % 100 == 0 {
            assert_eq!(good.ask("POST", "/v1/predict", "", &picture()).status, 200);
        }
    }
    server.stop();
    server.wait();
    let text = std::fs::read_to_string(log.path()).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut told = std::collections::HashMap::<&str, usize>::new();
    for line in lines.iter().filter(|l| l["level"] != "info") {
        *told.entry(line["remote"].as_str().unwrap()).or_default() += 1;
    }
    for (kind, name) in &names {
        assert_eq!(told.remove(name.as_str()), Some(1), "{kind}");
    }
    // Nobody else is blamed.
    assert_eq!(told.len(), 0, "{told:?}");
}

#[test]
fn large_bodies_share_a_room_and_small_ones_need_none() {
    let (_dir, server) = served(&model(1, false), Options { body_room: 256 << 10, ..options() });
    let mut holds = Client::new(server.address());
    holds.send(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
    holds.send(&[0; 300 << 10]);
    // That it takes the room, and later that it has gone, is seen a little later.
    let reached = |room: usize| {
        let line = format!("lenet_body_room_bytes {room}\n");
        (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            metrics(&server).contains(&line)
        })
    };
    // 300 KiB without the first 64.
    assert!(reached(20 << 10));
    let large = vec![b' '; 200 << 10];
    let ask = || Client::new(server.address()).ask("POST", "/v2/models/m0/infer", "", &large);
    ask().refused(503);
    assert_eq!(ask().header("retry-after"), Some("1"));
    others_are_answered(&server);
    drop(holds);
    assert!(reached(256 << 10));
    ask().refused(400);
}

#[test]
fn more_connections_than_there_is_room_for_are_closed() {
    let (_dir, server) = served(&model(1, false), Options { max_connections: 2, ..options() });
    let mut first = Client::new(server.address());
    assert_eq!(first.get("/v2").status, 200);
    let mut second = Client::new(server.address());
    assert_eq!(second.get("/v2").status, 200);
    assert!(Client::new(server.address()).is_closed());
    assert_eq!(first.get("/v2").status, 200);
}

#[test]
fn a_full_queue_says_so() {
    let (_dir, server) = served(&model(1, false), Options { queue: 8, ..options() });
    let mut client = Client::new(server.address());
    let json = r#"{"inputs":[{"name":"input","shape":[9,1,28,28],"datatype":"FP32","parameters":{"binary_data_size":28224}}]}"#;
    let header = format!("Inference-Header-Content-Length: {}\r\n", json.len());
    let body = [json.as_bytes(), &[0; 28224]].concat();
    let answer = client.ask("POST", "/v2/models/m0/infer", &header, &body);
    answer.refused(429);
    assert_eq!(answer.header("retry-after"), Some("1"));
    others_are_answered(&server);
}

#[test]
fn a_token_guards_all_but_health_and_page() {
    let token = "0123456789abcdef-secret";
    let (_dir, server) = served(&model(1, false), Options { token: Some(Token::new(token).unwrap()), ..options() });
    let mut client = Client::new(server.address());
    for path in ["/v2/health/live", "/v2/health/ready", "/"] {
        assert_eq!(client.get(path).status, 200, "{path}");
    }
    for path in ["/v2", "/v1/models", "/metrics", "/v2/models/m0", "/openapi.json", "/nothing"] {
        client.get(path).refused(401);
    }
    for header in ["Bearer wrong", "Bearer ", "Basic 0123456789abcdef-secret", "0123456789abcdef-secret"] {
        client.ask("GET", "/v2", &format!("Authorization: {header}\r\n"), b"").refused(401);
    }
    for scheme in ["Bearer", "bearer"] {
        assert_eq!(client.ask("GET", "/v2", &format!("Authorization: {scheme} {token}\r\n"), b"").status, 200);
    }
}

#[test]
fn pages_elsewhere_cannot_use_a_server_of_this_machine() {
    let (_dir, server) = served(&model(1, false), options());
    for head in ["Host: evil.example", "Host: localhost\r\nOrigin: http://evil.example"] {
        let mut client = Client::new(server.address());
        client.send(format!("GET /v1/models HTTP/1.1\r\n{head}\r\n\r\n").as_bytes());
        client.answer().refused(403);
    }
}

#[test]
fn other_addresses_need_a_token() {
    let dir = tempfile::tempdir().unwrap();
    model(1, false).save(dir.path()).unwrap();
    let source = lenet_serve::Source { name: "a".into(), path: dir.path().into() };
    let open = Options { address: SocketAddr::from(([0, 0, 0, 0], 0)), ..options() };
    assert!(matches!(Server::start(vec![source], open), Err(ServeError::Unprotected(_))));
}
