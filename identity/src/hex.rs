//! Bytes as text, the same way everywhere.

use std::fmt;

/// Shows bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> impl fmt::Display {
    Hex(bytes)
}

/// Reads `N` bytes from as many pairs of hexadecimal digits, of either case; `None` for anything else.
pub fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != N {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?;
    }
    Some(bytes)
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: two digits for every byte, in their order.
    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(hex(&[0, 0x0a, 0xff]).to_string(), "000aff");
        assert_eq!(hex(&[]).to_string(), "");
    }

    /// Goal: what `hex` shows is read again, and nothing else is.
    #[test]
    fn hexadecimal_digits_are_read_again() {
        let all: [u8; 256] = std::array::from_fn(|byte| byte as u8);
        assert_eq!(parse_hex(&hex(&all).to_string()), Some(all));
        assert_eq!(parse_hex("0aFf"), Some([0x0a, 0xff]));
        for wrong in ["", "0", "0a0", "0a0g", "0a0b0c", "+a0b", "é0b"] {
            assert_eq!(parse_hex::<2>(wrong), None, "{wrong:?}");
        }
    }
}
