//! A command's memory as its system calls see it, and what a call can answer.

/// WASI's numbers for what can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errno {
    Badf = 8,
    Fault = 21,
    Inval = 28,
    Io = 29,
    Pipe = 64,
    Spipe = 70,
}

/// Why a call does not do what it is for.
pub(super) enum Failure {
    /// The guest is told.
    Errno(Errno),
    /// The guest is ended.
    Trap(wasmtime::Error),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure::Errno(errno)
    }
}

pub(super) struct Memory<'a>(pub(super) &'a mut [u8]);

impl Memory<'_> {
    /// The address of an element of an array.
    pub(super) fn at(array: u32, number: u32, size: u32) -> Result<u32, Errno> {
        number.checked_mul(size).and_then(|offset| array.checked_add(offset)).ok_or(Errno::Fault)
    }

    pub(super) fn slice(&mut self, at: u32, len: usize) -> Result<&mut [u8], Errno> {
        let at = at as usize;
        self.0.get_mut(at..at.saturating_add(len)).ok_or(Errno::Fault)
    }

    pub(super) fn put(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        self.slice(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn put_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn put_u64(&mut self, at: u32, value: u64) -> Result<(), Errno> {
        self.put(at, &value.to_le_bytes())
    }

    pub(super) fn put_len(&mut self, at: u32, len: usize) -> Result<(), Errno> {
        self.put_u32(at, u32::try_from(len).map_err(|_| Errno::Inval)?)
    }

    fn array<const N: usize>(&self, at: u32) -> Result<[u8; N], Errno> {
        let at = at as usize;
        let bytes = self.0.get(at..at.saturating_add(N)).ok_or(Errno::Fault)?;
        bytes.try_into().map_err(|_| Errno::Fault)
    }

    pub(super) fn u16(&self, at: u32) -> Result<u16, Errno> {
        Ok(u16::from_le_bytes(self.array(at)?))
    }

    pub(super) fn u32(&self, at: u32) -> Result<u32, Errno> {
        Ok(u32::from_le_bytes(self.array(at)?))
    }

    pub(super) fn u64(&self, at: u32) -> Result<u64, Errno> {
        Ok(u64::from_le_bytes(self.array(at)?))
    }

    /// Address and length of one of several pieces that are read or written together.
    pub(super) fn place(&self, pieces: u32, number: u32) -> Result<(u32, u32), Errno> {
        let at = Memory::at(pieces, number, 8)?;
        Ok((self.u32(at)?, self.u32(Memory::at(at, 1, 4)?)?))
    }

    pub(super) fn piece(&self, pieces: u32, number: u32) -> Result<&[u8], Errno> {
        let (at, len) = self.place(pieces, number)?;
        let (at, len) = (at as usize, len as usize);
        self.0.get(at..at.saturating_add(len)).ok_or(Errno::Fault)
    }
}
