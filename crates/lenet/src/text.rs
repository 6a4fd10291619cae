//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(feature = "report")]
/// A number in few characters.
pub(crate) fn short(value: f64) -> String {
    let text = match value.abs() {
        0.0 => "0".into(),
        a if a < 0.001 => format!("{value:.1e}"),
        a if a < 1.0 => format!("{value:.4}"),
        a if a < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    };
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').into()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (n, want) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(n), want);
        }
    }

    #[test]
    fn numbers_are_short() {
        let all =
            [(0.0, "0"), (-0.00012, "-1.2e-4"), (0.5, "0.5"), (0.12345, "0.1235"), (12.5, "12.5"), (1234.5, "1234")];
        for (value, want) in all {
            assert_eq!(short(value), want);
        }
    }
}
