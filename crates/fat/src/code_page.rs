//! Code page 437, in which short names are stored.

/// Characters of the bytes 0x80 to 0xff.
const UPPER_HALF: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// The character of a byte.
pub(crate) fn to_char(byte: u8) -> char {
    match byte {
        0..0x80 => char::from(byte),
        _ => UPPER_HALF
            .chars()
            .nth(usize::from(byte - 0x80))
            .unwrap_or(char::REPLACEMENT_CHARACTER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        assert_eq!(UPPER_HALF.chars().count(), 128);
        assert_eq!(
            (to_char(0x81), to_char(0xe1), to_char(0xff)),
            ('ü', 'ß', '\u{a0}')
        );
    }
}
