//! Files of the page as answers, and what a browser may do with them.

use crate::http::{Response, ok};
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};

/// Nothing is fetched from elsewhere, and no other page shows this one in a frame.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// A file that is part of the program.
pub fn file(content_type: &'static str, bytes: &'static [u8]) -> Response {
    let mut response = ok(content_type, bytes);
    protect(&mut response, POLICY);
    response
}

/// Says what a browser may do with a page.
pub fn protect(response: &mut Response, policy: &'static str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}
