//! Writes AMQP values, one after the other, into bytes that are sent.
//!
//! Not by `serde_amqp`, which leaves out the nulls at the end of a list: some clients take a performative's fields by their
//! position and fall over a list that is shorter than they know it.

/// Appends values to bytes. Nothing here can fail: whoever writes is the hub itself.
pub(crate) trait Write {
    fn null(&mut self);
    fn bool(&mut self, value: bool);
    fn ubyte(&mut self, value: u8);
    fn ushort(&mut self, value: u16);
    fn uint(&mut self, value: u32);
    fn ulong(&mut self, value: u64);
    fn int(&mut self, value: i32);
    fn long(&mut self, value: i64);
    fn double(&mut self, value: f64);
    /// Milliseconds since 1970.
    fn timestamp(&mut self, millis: i64);
    fn binary(&mut self, bytes: &[u8]);
    fn string(&mut self, text: &str);
    fn symbol(&mut self, text: &str);
    fn descriptor(&mut self, code: u8);
    /// A list of `count` values that `items` writes.
    fn list(&mut self, count: u32, items: impl FnOnce(&mut Vec<u8>));
    /// A map of `count` keys and values together.
    fn map(&mut self, count: u32, items: impl FnOnce(&mut Vec<u8>));
    fn symbols(&mut self, items: &[&str]);
    fn strings<S: AsRef<str>>(&mut self, items: &[S]);
}

impl Write for Vec<u8> {
    fn null(&mut self) {
        self.push(0x40);
    }

    fn bool(&mut self, value: bool) {
        self.push(if value { 0x41 } else { 0x42 });
    }

    fn ubyte(&mut self, value: u8) {
        self.extend([0x50, value]);
    }

    fn ushort(&mut self, value: u16) {
        self.push(0x60);
        self.extend(value.to_be_bytes());
    }

    fn uint(&mut self, value: u32) {
        match u8::try_from(value) {
            Ok(0) => self.push(0x43),
            Ok(small) => self.extend([0x52, small]),
            Err(_) => {
                self.push(0x70);
                self.extend(value.to_be_bytes());
            }
        }
    }

    fn ulong(&mut self, value: u64) {
        self.push(0x80);
        self.extend(value.to_be_bytes());
    }

    fn int(&mut self, value: i32) {
        self.push(0x71);
        self.extend(value.to_be_bytes());
    }

    fn long(&mut self, value: i64) {
        self.push(0x81);
        self.extend(value.to_be_bytes());
    }

    fn double(&mut self, value: f64) {
        self.push(0x82);
        self.extend(value.to_be_bytes());
    }

    fn timestamp(&mut self, millis: i64) {
        self.push(0x83);
        self.extend(millis.to_be_bytes());
    }

    fn binary(&mut self, bytes: &[u8]) {
        variable(self, 0xa0, bytes);
    }

    fn string(&mut self, text: &str) {
        variable(self, 0xa1, text.as_bytes());
    }

    fn symbol(&mut self, text: &str) {
        variable(self, 0xa3, text.as_bytes());
    }

    fn descriptor(&mut self, code: u8) {
        self.extend([0x00, 0x53, code]);
    }

    fn list(&mut self, count: u32, items: impl FnOnce(&mut Vec<u8>)) {
        compound(self, 0xd0, count, items);
    }

    fn map(&mut self, count: u32, items: impl FnOnce(&mut Vec<u8>)) {
        compound(self, 0xd1, count, items);
    }

    fn symbols(&mut self, items: &[&str]) {
        array(self, 0xb3, items);
    }

    fn strings<S: AsRef<str>>(&mut self, items: &[S]) {
        array(self, 0xb1, items);
    }
}

/// `short` is the code of the form with one byte of length; the other one is 0x10 above it.
fn variable(out: &mut Vec<u8>, short: u8, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => out.extend([short, length]),
        Err(_) => {
            out.push(short + 0x10);
            out.extend(size(bytes.len()));
        }
    }
    out.extend_from_slice(bytes);
}

fn compound(out: &mut Vec<u8>, code: u8, count: u32, items: impl FnOnce(&mut Vec<u8>)) {
    out.push(code);
    let start = out.len();
    out.extend([0; 4]);
    out.extend(count.to_be_bytes());
    items(out);
    let length = size(out.len() - start - 4);
    out[start..start + 4].copy_from_slice(&length);
}

fn array<S: AsRef<str>>(out: &mut Vec<u8>, code: u8, items: &[S]) {
    // A handful: mechanisms, or a hub's partitions.
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    compound(out, 0xf0, count, |out| {
        out.push(code);
        for item in items {
            out.extend(size(item.as_ref().len()));
            out.extend(item.as_ref().as_bytes());
        }
    });
}

/// Nothing that is written here is near 4 GiB.
fn size(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_amqp::primitives::Symbol;
    use serde_amqp::{Value, from_slice};

    use super::*;

    fn read(write: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut out = Vec::new();
        write(&mut out);
        from_slice(&out).unwrap()
    }

    #[test]
    fn the_codec_reads_what_is_written() {
        for value in [0, 7, 255, 256, u32::MAX] {
            assert_eq!(read(|out| out.uint(value)), Value::Uint(value));
        }
        assert_eq!(read(|out| out.null()), Value::Null);
        assert_eq!(read(|out| out.bool(false)), Value::Bool(false));
        assert_eq!(read(|out| out.ubyte(9)), Value::Ubyte(9));
        assert_eq!(read(|out| out.ushort(300)), Value::Ushort(300));
        assert_eq!(read(|out| out.ulong(1)), Value::Ulong(1));
        assert_eq!(read(|out| out.int(-1)), Value::Int(-1));
        assert_eq!(read(|out| out.long(-1)), Value::Long(-1));
        assert_eq!(read(|out| out.double(0.5)), Value::from(0.5));
        let long = "ü".repeat(200);
        assert_eq!(read(|out| out.string(&long)), Value::from(long.as_str()));
        assert_eq!(
            read(|out| out.symbol("s")),
            Value::Symbol(Symbol::from("s"))
        );
        let list = read(|out| {
            out.list(2, |out| {
                out.string("a");
                out.null();
            });
        });
        assert_eq!(list, Value::List(vec![Value::from("a"), Value::Null]));
        let Value::Array(array) = read(|out| out.strings(&["0", "1"])) else {
            panic!("no array");
        };
        assert_eq!(array.into_inner(), [Value::from("0"), Value::from("1")]);
    }
}
