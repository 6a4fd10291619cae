//! Messages in protobuf's wire format, written field by field.

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn raw(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    /// An integer or an enumeration.
    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.raw(field << 3);
        self.raw(value as u64);
        self
    }

    /// A float.
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.raw(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A float of double precision.
    pub fn double(mut self, field: u64, value: f64) -> Self {
        self.raw(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A packed list of floats of double precision.
    pub fn doubles(self, field: u64, values: &[f64]) -> Self {
        self.bytes(field, values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    }

    /// Bytes or text.
    pub fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        self.raw(field << 3 | 2);
        self.raw(value.as_ref().len() as u64);
        self.0.extend(value.as_ref());
        self
    }

    /// A message within.
    pub fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }
}
