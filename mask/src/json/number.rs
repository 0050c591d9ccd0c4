//! The grammar of JSON numbers, byte by byte.

/// How much of a number has been read; named after the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Minus,
    /// A leading zero: no digit may follow.
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigit,
}

impl Number {
    pub fn start(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            b'0' => Some(Self::Zero),
            b'1'..=b'9' => Some(Self::Integer),
            _ => None,
        }
    }

    /// `None` when the byte can't go on the number.
    pub fn next(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Minus, _) => Self::start(byte).filter(|next| *next != Self::Minus),
            (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Point | Self::Fraction, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigit, b'0'..=b'9') => {
                Some(Self::ExponentDigit)
            }
            _ => None,
        }
    }

    pub fn is_complete(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigit)
    }
}

/// Whether the text is one number.
pub fn is_number(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().and_then(Number::start);
    bytes.fold(first, |number, byte| number?.next(byte)).is_some_and(Number::is_complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_grammar() {
        for good in ["0", "-0", "12", "-12", "0.5", "10.05", "1e5", "1E+5", "0e-00", "-1.25e10", "1e400"] {
            assert!(is_number(good), "{good}");
        }
        for bad in [
            "", "-", "00", "01", "-01", ".5", "1.", "1.e5", "+1", "1e", "1e+", "--1", "1.2.3", "0x1",
            "1e5.5", "Inf",
        ] {
            assert!(!is_number(bad), "{bad}");
        }
    }
}
