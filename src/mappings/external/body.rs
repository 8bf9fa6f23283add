//! A message of a broker's protocol, which is read from its beginning; one that is too short is an error.

use super::line::Trouble;
use anyhow::bail;
use bytes::{Buf as _, Bytes};

pub(super) struct Body(pub(super) Bytes);

impl Body {
    pub(super) fn bytes(&mut self, count: usize) -> Result<Bytes, Trouble> {
        if self.0.len() < count {
            bail!("a message of the broker is cut off");
        }
        Ok(self.0.split_to(count))
    }

    pub(super) fn u8(&mut self) -> Result<u8, Trouble> {
        Ok(self.bytes(1)?.get_u8())
    }

    pub(super) fn u16(&mut self) -> Result<u16, Trouble> {
        Ok(self.bytes(2)?.get_u16())
    }

    pub(super) fn u32(&mut self) -> Result<u32, Trouble> {
        Ok(self.bytes(4)?.get_u32())
    }

    pub(super) fn u64(&mut self) -> Result<u64, Trouble> {
        Ok(self.bytes(8)?.get_u64())
    }
}
