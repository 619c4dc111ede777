//! A cursor over untrusted bytes.

use super::CheckpointError;

/// Bytes and a position. Reading behind the end is an error.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next `count` bytes; nothing is allocated for a count that the file only announces.
    pub fn take(&mut self, count: u64, what: &'static str) -> Result<&'a [u8], CheckpointError> {
        let rest = self.rest();
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or(CheckpointError::Truncated { what, at: self.at, expected: count, found: rest.len() })?;
        self.at += taken.len();
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CheckpointError> {
        let taken = self.take(N as u64, "a number")?;
        // `take` gave N bytes.
        Ok(taken.try_into().unwrap_or([0; N]))
    }

    pub fn byte(&mut self) -> Result<u8, CheckpointError> {
        self.array().map(|[byte]| byte)
    }

    pub fn u32(&mut self) -> Result<u32, CheckpointError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, CheckpointError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Up to the next newline, which is passed over.
    pub fn line(&mut self) -> Result<&'a [u8], CheckpointError> {
        let rest = self.rest();
        let end = rest.iter().position(|&byte| byte == b'\n');
        let end =
            end.ok_or(CheckpointError::Truncated { what: "a line", at: self.at, expected: rest.len() as u64 + 1, found: rest.len() })?;
        let line = self.take(end as u64, "a line")?;
        self.at += 1;
        Ok(line)
    }
}
