//! Base64 without padding, as hashes, keys and signatures have it.
//!
//! <https://spec.matrix.org/v1.19/appendices/#unpadded-base64>

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// Writes bytes in unpadded standard base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_STANDARD_NO_PAD.encode(bytes)
}

/// Room for a signature, and what four characters more would stand for.
const MOST_BYTES: usize = 64 + 3;

/// Bytes from base64, at most 64: standard or URL-safe alphabet, with or without padding.
///
/// The specification has both alphabets for the keys of third-party invites and says unpadded; Synapse reads all four
/// forms, so we do.
pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT);
    const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT);

    let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
    let mut bytes = [0; MOST_BYTES];
    let length = engine.decode_slice(text, &mut bytes).ok()?;
    bytes.get(..length)?.try_into().ok()
}

/// Bytes of a fixed number with serde: as unpadded base64.
pub(crate) mod bytes {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        let text = String::deserialize(deserializer)?;
        super::decode(&text).ok_or_else(|| de::Error::custom(format_args!("not {N} bytes of base64")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_all_four_forms() {
        for text in ["+/8", "+/8=", "-_8", "-_8="] {
            assert_eq!(decode(text), Some([0xFB, 0xFF]), "{text}");
        }
        for bad in ["", "+/", "+/8A", "+_8", "+/8 ", "é"] {
            assert_eq!(decode::<2>(bad), None, "{bad}");
        }
    }
}
