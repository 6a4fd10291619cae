//! The secret that guards a server.

use subtle::ConstantTimeEq;

/// A secret that clients show.
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Fewest characters of a token.
const SHORTEST: usize = 16;

/// Why something is no token.
#[derive(Debug, thiserror::Error)]
#[error(
    "the token must be one line of at least {SHORTEST} visible ASCII characters: `openssl rand -hex 32` prints one"
)]
pub struct ShortToken;

impl Token {
    /// A token; white space around it is no part of it.
    ///
    /// # Errors
    /// Fewer than 16 characters, or others than visible ASCII.
    pub fn new(text: &str) -> Result<Token, ShortToken> {
        let text = text.trim();
        let fits = text.len() >= SHORTEST && text.bytes().all(|b| b.is_ascii_graphic());
        if fits { Ok(Token(text.as_bytes().to_vec())) } else { Err(ShortToken) }
    }

    /// Takes as long for a wrong token of the right length as for the right one.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(shown).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_compared_whole() {
        assert!(Token::new("short").is_err() && Token::new("with a blank inside it").is_err());
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [&b"0123456789abcdeF"[..], b"0123456789abcde", b"0123456789abcdef0", b""] {
            assert!(!token.is(wrong));
        }
    }
}
