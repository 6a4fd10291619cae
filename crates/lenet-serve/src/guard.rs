//! Who may ask: the token, whether trainings are allowed, and for loopback without one the Host and Origin that a browser sends.

use crate::http::Problem;
use crate::state::State;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use std::path::Path;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Whoever reaches the server.
    Anyone,
    /// Who shows the token, if the server has one.
    Token,
    /// As `Token`, and only if the server was started with `--allow-training`.
    Trainer,
}

/// Fails unless the request may be answered. `open` is what needs no token.
pub fn check(state: &State, headers: &HeaderMap, open: bool) -> Result<(), Problem> {
    match &state.options.token {
        Some(_) if open => Ok(()),
        Some(token) => {
            let shown = headers.get(AUTHORIZATION).map(|v| v.as_bytes()).and_then(|v| v.split_at_checked(7));
            let right = shown.is_some_and(|(scheme, t)| scheme.eq_ignore_ascii_case(b"bearer ") && token.is(t));
            let message = "this server wants its token: Authorization: Bearer TOKEN";
            if right { Ok(()) } else { Err(Problem::new(StatusCode::UNAUTHORIZED, message)) }
        }
        None if state.address.ip().is_loopback() => from_here(headers),
        None => same_origin(headers),
    }
}

/// The program that trains; fails if the server may not start it.
pub fn trainer(state: &State) -> Result<&Path, Problem> {
    let message = "this server starts no trainings: it does with --allow-training";
    state.options.trainer.as_deref().ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, message))
}

/// A page elsewhere can make its own name point here (DNS rebinding): then Host is that name.
fn from_here(headers: &HeaderMap) -> Result<(), Problem> {
    // No Host is HTTP/1.0, which no browser speaks.
    let host = headers.get(HOST).map_or(Some("localhost"), |h| h.to_str().ok());
    let local = host.map(without_port).is_some_and(|name| {
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|a| a.is_loopback())
    });
    if !local {
        let message = "this server answers only to localhost: other names need --addr and a token";
        return Err(Problem::new(StatusCode::FORBIDDEN, message));
    }
    same_origin(headers)
}

/// Browsers say which page a request comes from; those of others are refused.
fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    if origin.split_once("://").is_some_and(|(_, name)| name.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "pages of other origins may not use this server"))
}

/// `name:port` without the port; `[::1]:80` is `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(HOST, host.parse().unwrap());
        origin.map(|o| map.insert(ORIGIN, o.parse().unwrap()));
        map
    }

    #[test]
    fn loopback_answers_to_its_own_names() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "127.0.0.5", "[::1]", "[::1]:80"] {
            assert!(from_here(&headers(host, None)).is_ok(), "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "127.0.0.1.nip.io"]
        {
            assert!(from_here(&headers(host, None)).is_err(), "{host}");
        }
        assert!(from_here(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn pages_of_others_are_refused() {
        assert!(from_here(&headers("localhost:8080", Some("http://localhost:8080"))).is_ok());
        for origin in ["http://evil.example", "null", "http://localhost:9090", "http://127.0.0.1:8080"] {
            assert!(from_here(&headers("localhost:8080", Some(origin))).is_err(), "{origin}");
        }
    }
}
