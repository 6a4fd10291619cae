//! The fixed codes of LeNet-5's output layer.

use crate::random::{Purpose, Stream};

/// Ten digits as pictures of 7 × 12 pixels, a byte a row, in the manner of the codes of LeCun, Bottou, Bengio and Haffner
/// (Gradient-Based Learning Applied to Document Recognition; Proc. IEEE 86, 1998; figure 3): similar digits have similar
/// codes.
const DIGITS: [[u8; 12]; 10] = [
    [0x00, 0x1c, 0x36, 0x63, 0x63, 0x63, 0x63, 0x63, 0x63, 0x36, 0x1c, 0x00],
    [0x00, 0x0c, 0x1c, 0x3c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x0c, 0x3f, 0x00],
    [0x00, 0x3e, 0x63, 0x43, 0x03, 0x06, 0x0c, 0x18, 0x30, 0x60, 0x7f, 0x00],
    [0x00, 0x3e, 0x63, 0x03, 0x03, 0x1e, 0x03, 0x03, 0x03, 0x63, 0x3e, 0x00],
    [0x00, 0x06, 0x0e, 0x1e, 0x36, 0x66, 0x66, 0x7f, 0x06, 0x06, 0x06, 0x00],
    [0x00, 0x7f, 0x60, 0x60, 0x60, 0x7e, 0x03, 0x03, 0x03, 0x63, 0x3e, 0x00],
    [0x00, 0x1e, 0x30, 0x60, 0x60, 0x7e, 0x63, 0x63, 0x63, 0x63, 0x3e, 0x00],
    [0x00, 0x7f, 0x03, 0x03, 0x06, 0x06, 0x0c, 0x0c, 0x18, 0x18, 0x18, 0x00],
    [0x00, 0x3e, 0x63, 0x63, 0x63, 0x3e, 0x63, 0x63, 0x63, 0x63, 0x3e, 0x00],
    [0x00, 0x3e, 0x63, 0x63, 0x63, 0x63, 0x3f, 0x03, 0x03, 0x06, 0x3c, 0x00],
];

/// One code of -1 and 1 a class, `[outputs, inputs]`: the digits where they fit, else random ones.
pub(super) fn codes(outputs: usize, inputs: usize) -> Vec<f32> {
    if inputs == 7 * 12 && outputs <= DIGITS.len() {
        let sign = |row: u8, col: usize| if row >> (6 - col) & 1 == 1 { 1.0 } else { -1.0 };
        return DIGITS[..outputs].iter().flatten().flat_map(|&row| (0..7).map(move |col| sign(row, col))).collect();
    }
    // Not of the run's seed: codes belong to the network.
    let mut stream = Stream::new(0, Purpose::Codes, 0, 0);
    (0..outputs * inputs).map(|_| if stream.next_u32() & 1 == 1 { 1.0 } else { -1.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_signs_and_differ() {
        for (outputs, inputs) in [(10, 84), (10, 50), (47, 84)] {
            let all = codes(outputs, inputs);
            assert_eq!(all.len(), outputs * inputs);
            assert!(all.iter().all(|v| v.abs() == 1.0));
            let rows: Vec<&[f32]> = all.chunks(inputs).collect();
            for (i, a) in rows.iter().enumerate() {
                for b in &rows[..i] {
                    assert!(a.iter().zip(*b).filter(|(a, b)| a != b).count() > 4);
                }
            }
        }
    }
}
