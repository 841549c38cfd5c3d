//! How messages become bytes: protobuf, with buffers that suit thousands of streams.
//!
//! A stream keeps one buffer a direction for as long as it lives. tonic begins with 8 KiB each; the
//! messages of a stream that lives for weeks are a few hundred bytes. Buffers grow where more is said.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::ProstCodec;

/// What a buffer begins with, and grows by, in bytes.
const BUFFER: usize = 1024;
/// A message that waits for others to be sent with waits no longer once there is so much.
const SEND_AT: usize = 32 * 1024;

/// The codec of all generated clients and servers.
#[derive(Debug)]
pub struct Lean<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Lean<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Lean<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = <ProstCodec<T, U> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::new(BUFFER, SEND_AT))
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, SEND_AT))
    }
}
