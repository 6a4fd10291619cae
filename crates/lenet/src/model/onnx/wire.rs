//! Protobuf's wire format: fields out of bytes without copies or recursion.
//!
//! Own code, since decoders that build whole messages allocate by what a file claims: two bytes of an empty message
//! become hundreds in memory. Here nothing is built; the readers of messages (`read.rs`) count before they keep.

use super::OnnxError;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wire<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: a string, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

fn malformed(what: &str) -> OnnxError {
    OnnxError::Malformed(what.to_string())
}

/// Takes a varint off the front.
pub fn varint(bytes: &mut &[u8]) -> Result<u64, OnnxError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| malformed("it ends within a number"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(malformed("a number has more than ten bytes"))
}

fn take<'a>(bytes: &mut &'a [u8], n: u64) -> Result<&'a [u8], OnnxError> {
    let split = usize::try_from(n).ok().and_then(|n| bytes.split_at_checked(n));
    let (taken, rest) = split.ok_or_else(|| malformed("a field is longer than what is left of the file"))?;
    *bytes = rest;
    Ok(taken)
}

/// The fields of a message, in order: number and value.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Wire<'a>), OnnxError> {
        let rest = &mut self.0;
        let key = varint(rest)?;
        let value = match key & 7 {
            0 => Wire::Varint(varint(rest)?),
            1 => Wire::Fixed64(take(rest, 8)?.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))),
            2 => {
                let length = varint(rest)?;
                Wire::Bytes(take(rest, length)?)
            }
            5 => Wire::Fixed32(take(rest, 4)?.iter().rev().fold(0, |n, &b| n << 8 | u32::from(b))),
            other => return Err(malformed(&format!("a field has the wire type {other}"))),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), OnnxError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Message;

    #[test]
    fn fields_are_those_of_the_specification_and_come_back() {
        // The examples of the encoding's documentation: 150 in field 1, "testing" in field 2.
        assert_eq!(Message::default().int(1, 150).0, [0x08, 0x96, 0x01]);
        let text = Message::default().bytes(2, "testing").0;
        assert_eq!(text, [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        let all = Message::default().int(1, -2).float(3, 1.5).bytes(2, "ab").int(20, 1 << 40);
        let back: Result<Vec<_>, _> = Fields(&all.0).collect();
        let want = [
            (1, Wire::Varint(-2i64 as u64)),
            (3, Wire::Fixed32(1.5f32.to_bits())),
            (2, Wire::Bytes(b"ab")),
            (20, Wire::Varint(1 << 40)),
        ];
        assert_eq!(back.unwrap(), want);
    }

    #[test]
    fn what_is_cut_or_overlong_is_an_error() {
        for bytes in [
            &[0x08][..],
            &[0x08, 0x80],
            &[0x12, 0x05, b'a'],
            &[0x0d, 1, 2, 3],
            &[0x0b],
            &[0x80; 11],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ] {
            assert!(Fields(bytes).any(|f| f.is_err()), "{bytes:?}");
        }
    }
}
