//! Tokens: what the server gives to callers and takes back as it was. Opaque to them, versioned, and signed, so that
//! a caller can neither read a meaning into one nor make one, and every replica with the same keys takes it.
//!
//! A token is not secret: it is signed, not encrypted. What stands in one is `payload` messages of those who seal
//! them; who may use one, and until when, they check themselves.

mod file;

use bytes::Bytes;
use prost::Message;
use ring::{digest, hmac, rand::SecureRandom as _};

use crate::error::Error;

/// The form of the bytes below.
const VERSION: u8 = 1;
/// Version, kind, key.
const HEAD: usize = 3;
/// HMAC-SHA256 cut to 128 bits, as RFC 2104 allows.
const TAG: usize = 16;
/// The bytes of a key.
const KEY: usize = 32;
/// No token of ours is larger: the largest statement, its values, and room for the rest.
const MAX_BYTES: usize = 4 << 20;

/// What a token is for. One kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A part of a read session's result.
    Partition,
    /// A read session.
    Session,
    /// A row boundary in a stream.
    Resume,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Partition => 1,
            Self::Session => 2,
            Self::Resume => 3,
        }
    }

    /// The field of a request that holds such a token.
    const fn field(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Session => "session_id",
            Self::Resume => "resume_token",
        }
    }
}

/// The keys that tokens are signed with. The first one signs; all are tried on what comes back, so that a key can be
/// replaced while tokens of the one before are about.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    /// Which of the keys it probably is: a byte of the key's hash.
    id: u8,
    key: hmac::Key,
}

impl Key {
    fn new(bytes: &[u8; KEY]) -> Self {
        let id = digest::digest(&digest::SHA256, bytes).as_ref()[0];
        Self { id, key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }
}

impl Keys {
    /// A key that nobody else has: tokens end with this process, and no other server takes them.
    ///
    /// # Errors
    /// The operating system has no randomness to give.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = [0; KEY];
        let filled = ring::rand::SystemRandom::new().fill(&mut bytes);
        filled.map_err(|_| Error::Internal("the operating system gives no random bytes".to_owned()))?;
        Ok(Self(vec![Key::new(&bytes)]))
    }

    /// Makes a token of a message.
    pub(crate) fn seal(&self, kind: Kind, payload: &impl Message) -> Bytes {
        let Key { id, key } = &self.0[0];
        let mut token = Vec::with_capacity(HEAD + payload.encoded_len() + TAG);
        token.extend([VERSION, kind.byte(), *id]);
        token.extend(payload.encode_to_vec());
        let tag = hmac::sign(key, &token);
        token.extend(&tag.as_ref()[..TAG]);
        token.into()
    }

    /// The message of a token that one of the keys has sealed as this kind.
    ///
    /// # Errors
    /// INVALID_TOKEN, whatever is wrong with it: who makes one up learns nothing.
    pub(crate) fn open<T: Message + Default>(&self, kind: Kind, token: &[u8]) -> Result<T, Error> {
        self.payload(kind, token).and_then(|payload| T::decode(payload).ok()).ok_or(Error::InvalidToken(kind.field()))
    }

    fn payload<'t>(&self, kind: Kind, token: &'t [u8]) -> Option<&'t [u8]> {
        let (signed, tag) = token.split_at_checked(token.len().checked_sub(TAG)?)?;
        let (head, payload) = signed.split_at_checked(HEAD)?;
        if head[..2] != [VERSION, kind.byte()] || token.len() > MAX_BYTES {
            return None;
        }
        let holds = |key: &hmac::Key| {
            let expected = hmac::sign(key, signed);
            // The comparison takes the same time wherever the two differ.
            same(&expected.as_ref()[..TAG], tag)
        };
        self.0.iter().any(|key| key.id == head[2] && holds(&key.key)).then_some(payload)
    }
}

/// Whether two tags are equal, in a time that does not tell where they differ.
fn same(expected: &[u8], tag: &[u8]) -> bool {
    let differing = expected.iter().zip(tag).fold(0, |differing, (a, b)| differing | (a ^ b));
    std::hint::black_box(differing) == 0 && expected.len() == tag.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Payload {
        #[prost(bytes = "vec", tag = "1")]
        bytes: Vec<u8>,
    }

    const KINDS: [Kind; 3] = [Kind::Partition, Kind::Session, Kind::Resume];

    fn keys(seeds: &[u8]) -> Keys {
        Keys(seeds.iter().map(|seed| Key::new(&[*seed; KEY])).collect())
    }

    #[test]
    fn a_token_of_the_key_before_is_still_taken_and_one_of_the_key_before_that_no_longer() {
        let payload = Payload { bytes: b"x".to_vec() };
        let token = keys(&[1]).seal(Kind::Resume, &payload);
        assert_eq!(keys(&[2, 1]).open::<Payload>(Kind::Resume, &token).expect("rotated"), payload);
        assert!(keys(&[3, 2]).open::<Payload>(Kind::Resume, &token).is_err());
        assert!(Keys::random().expect("randomness").open::<Payload>(Kind::Resume, &token).is_err());
        let newer = keys(&[2, 1]).seal(Kind::Resume, &payload);
        assert!(keys(&[1]).open::<Payload>(Kind::Resume, &newer).is_err());
    }

    #[test]
    fn what_is_refused_names_the_field_it_came_in() {
        let refused = keys(&[1]).open::<Payload>(Kind::Session, b"").expect_err("empty");
        assert_eq!(refused.to_string(), "session_id: is no token of this server's, or has been altered");
    }

    proptest! {
        #[test]
        fn a_token_leads_back_to_its_message_and_no_altered_one_does(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            kind in prop::sample::select(&KINDS[..]),
            at in any::<prop::sample::Index>(),
            flip in 1..=u8::MAX,
            more in prop::collection::vec(any::<u8>(), 1..20),
        ) {
            let keys = keys(&[1, 2]);
            let token = keys.seal(kind, &Payload { bytes: bytes.clone() });
            prop_assert_eq!(keys.open::<Payload>(kind, &token).expect("as it was sealed").bytes, bytes);
            for other in KINDS.into_iter().filter(|other| *other != kind) {
                prop_assert!(keys.open::<Payload>(other, &token).is_err());
            }
            let mut altered = token.to_vec();
            altered[at.index(token.len())] ^= flip;
            prop_assert!(keys.open::<Payload>(kind, &altered).is_err());
            prop_assert!(keys.open::<Payload>(kind, &token[..at.index(token.len())]).is_err());
            prop_assert!(keys.open::<Payload>(kind, &[&token[..], &more].concat()).is_err());
            prop_assert!(keys.open::<Payload>(kind, &[&more, &token[..]].concat()).is_err());
        }
    }
}
