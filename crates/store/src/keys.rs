//! Keys as types: tuples whose encodings sort as their values do.
//!
//! | part | bytes |
//! |---|---|
//! | `u8` … `u64`, [`Time`] | big endian |
//! | `i64` | big endian with the sign bit flipped |
//! | `bool` | 0 or 1 |
//! | `String`, `Vec<u8>` | the bytes, each 00 as 00 FF, ended by 00 00 |
//! | [`Desc<T>`] | the bytes of `T`, inverted |
//!
//! No part's encoding is the beginning of another's, so tuples are their parts one after the other, and a leading
//! part of a tuple is a prefix of exactly the keys that begin with it. These encodings are on disks: they never
//! change.

use crate::Error;
use mayfly_kernel::Time;
use std::cmp::Reverse;

/// A value that can be a part of a key. Newtypes implement it by passing on to what they wrap.
pub trait KeyPart: Sized {
    fn write(&self, out: &mut Vec<u8>);
    /// Takes this part off the front of `input`.
    fn read(input: &mut &[u8]) -> Result<Self, Error>;
}

/// A value that is written as the key part `T` is: `T` itself, or a borrowed form of it.
pub trait PartLike<T> {
    fn write_part(&self, out: &mut Vec<u8>);
}

/// A whole key: a tuple of up to six parts, or a single part.
pub trait KeyTuple: Sized {
    fn write_key(&self, out: &mut Vec<u8>);
    fn read_key(input: &mut &[u8]) -> Result<Self, Error>;
}

/// A value that is written as the key `K` is: `K` itself, or a tuple with borrowed parts.
pub trait KeyLike<K> {
    fn write_like(&self, out: &mut Vec<u8>);
}

/// A leading part of the key `K`: `()`, the first of its parts, the first two, …, or all.
pub trait KeyPrefix<K> {
    fn write_prefix(&self, out: &mut Vec<u8>);
}

/// Reverses the order of a part: the greatest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Desc<T>(pub T);

impl<T: Ord> Ord for Desc<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        Reverse(&self.0).cmp(&Reverse(&other.0))
    }
}

impl<T: Ord> PartialOrd for Desc<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn damaged(reason: &str) -> Error {
    Error::corrupt("a key", reason)
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Error> {
    let (part, rest) = input.split_first_chunk::<N>().ok_or_else(|| damaged("it ends early"))?;
    *input = rest;
    Ok(*part)
}

macro_rules! unsigned_part {
    ($($int:ty),*) => {$(
        impl KeyPart for $int {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn read(input: &mut &[u8]) -> Result<Self, Error> {
                take(input).map(<$int>::from_be_bytes)
            }
        }
    )*};
}
unsigned_part!(u8, u16, u32, u64);

const SIGN: u64 = 1 << 63;

impl KeyPart for i64 {
    fn write(&self, out: &mut Vec<u8>) {
        (self.cast_unsigned() ^ SIGN).write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Self, Error> {
        Ok((u64::read(input)? ^ SIGN).cast_signed())
    }
}

impl KeyPart for bool {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn read(input: &mut &[u8]) -> Result<Self, Error> {
        match take(input)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(damaged("a bool is neither 0 nor 1")),
        }
    }
}

impl KeyPart for Time {
    fn write(&self, out: &mut Vec<u8>) {
        self.ms().write(out);
    }

    fn read(input: &mut &[u8]) -> Result<Self, Error> {
        u64::read(input).map(Time::from_ms)
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    for byte in bytes {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

fn read_bytes(input: &mut &[u8]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    loop {
        let [byte] = take(input)?;
        if byte != 0 {
            bytes.push(byte);
            continue;
        }
        match take(input)? {
            [0] => return Ok(bytes),
            [0xFF] => bytes.push(0),
            [_] => return Err(damaged("a zero byte is followed by neither 00 nor FF")),
        }
    }
}

impl KeyPart for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self, out);
    }

    fn read(input: &mut &[u8]) -> Result<Self, Error> {
        read_bytes(input)
    }
}

impl KeyPart for String {
    fn write(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }

    fn read(input: &mut &[u8]) -> Result<Self, Error> {
        String::from_utf8(read_bytes(input)?).map_err(|_| damaged("a text is not UTF-8"))
    }
}

impl<T: KeyPart> KeyPart for Desc<T> {
    fn write(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.0.write(out);
        out[start..].iter_mut().for_each(|byte| *byte = !*byte);
    }

    fn read(input: &mut &[u8]) -> Result<Self, Error> {
        let inverted: Vec<u8> = input.iter().map(|byte| !byte).collect();
        let mut rest = &inverted[..];
        let value = T::read(&mut rest)?;
        *input = &input[input.len() - rest.len()..];
        Ok(Desc(value))
    }
}

impl<T: KeyPart> PartLike<T> for T {
    fn write_part(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}

impl<T: KeyPart> PartLike<T> for &T {
    fn write_part(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}

impl PartLike<String> for &str {
    fn write_part(&self, out: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), out);
    }
}

impl PartLike<Vec<u8>> for &[u8] {
    fn write_part(&self, out: &mut Vec<u8>) {
        write_bytes(self, out);
    }
}

impl<T: KeyPart> KeyTuple for T {
    fn write_key(&self, out: &mut Vec<u8>) {
        self.write(out);
    }

    fn read_key(input: &mut &[u8]) -> Result<Self, Error> {
        T::read(input)
    }
}

impl<T: KeyPart, P: PartLike<T>> KeyLike<T> for P {
    fn write_like(&self, out: &mut Vec<u8>) {
        self.write_part(out);
    }
}

impl<T: KeyPart> KeyPrefix<T> for T {
    fn write_prefix(&self, out: &mut Vec<u8>) {
        self.write(out);
    }
}

impl KeyPrefix<String> for &str {
    fn write_prefix(&self, out: &mut Vec<u8>) {
        self.write_part(out);
    }
}

/// The whole map.
impl<K: KeyTuple> KeyPrefix<K> for () {
    fn write_prefix(&self, _: &mut Vec<u8>) {}
}

macro_rules! tuple_key {
    ($($part:ident $like:ident),+) => {
        impl<$($part: KeyPart),+> KeyTuple for ($($part,)+) {
            fn write_key(&self, out: &mut Vec<u8>) {
                self.write_like(out);
            }
            fn read_key(input: &mut &[u8]) -> Result<Self, Error> {
                Ok(($($part::read(input)?,)+))
            }
        }

        impl<$($part: KeyPart, $like: PartLike<$part>),+> KeyLike<($($part,)+)> for ($($like,)+) {
            #[expect(non_snake_case, reason = "the names of the types serve as names of the values")]
            fn write_like(&self, out: &mut Vec<u8>) {
                let ($($like,)+) = self;
                $($like.write_part(out);)+
            }
        }
    };
}
tuple_key!(A P);
tuple_key!(A P, B Q);
tuple_key!(A P, B Q, C R);
tuple_key!(A P, B Q, C R, D S);
tuple_key!(A P, B Q, C R, D S, E T);
tuple_key!(A P, B Q, C R, D S, E T, F U);

macro_rules! tuple_prefix {
    ($($part:ident $like:ident),+ ; $($rest:ident),*) => {
        impl<$($part: KeyPart, $like: PartLike<$part>,)+ $($rest: KeyPart),*>
            KeyPrefix<($($part,)+ $($rest,)*)> for ($($like,)+)
        {
            #[expect(non_snake_case, reason = "the names of the types serve as names of the values")]
            fn write_prefix(&self, out: &mut Vec<u8>) {
                let ($($like,)+) = self;
                $($like.write_part(out);)+
            }
        }
    };
}
tuple_prefix!(A P;);
tuple_prefix!(A P; B);
tuple_prefix!(A P; B, C);
tuple_prefix!(A P; B, C, D);
tuple_prefix!(A P; B, C, D, E);
tuple_prefix!(A P; B, C, D, E, F);
tuple_prefix!(A P, B Q;);
tuple_prefix!(A P, B Q; C);
tuple_prefix!(A P, B Q; C, D);
tuple_prefix!(A P, B Q; C, D, E);
tuple_prefix!(A P, B Q; C, D, E, F);
tuple_prefix!(A P, B Q, C R;);
tuple_prefix!(A P, B Q, C R; D);
tuple_prefix!(A P, B Q, C R; D, E);
tuple_prefix!(A P, B Q, C R; D, E, F);
tuple_prefix!(A P, B Q, C R, D S;);
tuple_prefix!(A P, B Q, C R, D S; E);
tuple_prefix!(A P, B Q, C R, D S; E, F);
tuple_prefix!(A P, B Q, C R, D S, E T;);
tuple_prefix!(A P, B Q, C R, D S, E T; F);
tuple_prefix!(A P, B Q, C R, D S, E T, F U;);
