//! Text to lexemes. The splitting is `sqlparser`'s; what comes out is our own small alphabet, so that a symbol the
//! language does not have is refused here, with its place, and nothing of that crate is visible elsewhere.

use super::error::{Position, QueryError, excerpt};
use super::limits::STATEMENT_BYTES_MAX;
use sqlparser::dialect::Dialect;
use sqlparser::tokenizer::{Location, Token as SqlToken, Tokenizer, TokenizerError};

/// One unit of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A keyword or a plain name.
    Word(String),
    /// A name in double quotes or backticks.
    Quoted(String),
    /// A string in single quotes.
    Text(String),
    /// An unsigned number as written.
    Number(String),
    /// An operator or punctuation. `==` is given as `=`, `!=` as `<>`.
    Symbol(&'static str),
    /// After the last lexeme.
    End,
}

/// A token and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Lexeme {
    pub(super) token: Token,
    pub(super) at: Position,
    /// First byte in the text.
    pub(super) start: usize,
    /// One past the last byte.
    pub(super) end: usize,
}

/// Splits a statement into lexemes, closed by one [`Token::End`].
pub(super) fn lexemes(text: &str) -> Result<Vec<Lexeme>, QueryError> {
    if text.len() > STATEMENT_BYTES_MAX {
        return Err(QueryError::without_place(format!(
            "the statement has {} bytes, the limit is {STATEMENT_BYTES_MAX}; move its data into :parameters",
            text.len()
        )));
    }
    let raw = tokenize(text)?;
    let mut cursor = Cursor::new(text);
    let mut found = Vec::with_capacity(raw.len() / 2 + 1);
    for (index, (token, at)) in raw.iter().enumerate() {
        let start = cursor.byte_at(*at);
        let end = raw
            .get(index + 1)
            .map_or(text.len(), |(_, next)| cursor.byte_at(*next));
        let mut push = |token| {
            found.push(Lexeme {
                token,
                at: *at,
                start,
                end,
            });
        };
        match token {
            SqlToken::Whitespace(_) => {}
            // `{'a'::p}` is a member whose value is a parameter.
            SqlToken::DoubleColon => (0..2).for_each(|_| push(Token::Symbol(":"))),
            other => push(convert(other, *at)?),
        }
    }
    found.push(Lexeme {
        token: Token::End,
        at: cursor.end(),
        start: text.len(),
        end: text.len(),
    });
    Ok(found)
}

fn convert(token: &SqlToken, at: Position) -> Result<Token, QueryError> {
    let symbol = match token {
        SqlToken::Word(word) if word.quote_style.is_some() => {
            return Ok(Token::Quoted(word.value.clone()));
        }
        SqlToken::Word(word) => return Ok(Token::Word(word.value.clone())),
        SqlToken::SingleQuotedString(text) => return Ok(Token::Text(text.clone())),
        SqlToken::Number(number, false) => return Ok(Token::Number(number.clone())),
        SqlToken::Comma => ",",
        SqlToken::Period => ".",
        SqlToken::Colon => ":",
        SqlToken::SemiColon => ";",
        SqlToken::LParen => "(",
        SqlToken::RParen => ")",
        SqlToken::LBracket => "[",
        SqlToken::RBracket => "]",
        SqlToken::LBrace => "{",
        SqlToken::RBrace => "}",
        SqlToken::Eq | SqlToken::DoubleEq => "=",
        SqlToken::Neq => "<>",
        SqlToken::Lt => "<",
        SqlToken::LtEq => "<=",
        SqlToken::Gt => ">",
        SqlToken::GtEq => ">=",
        SqlToken::Plus => "+",
        SqlToken::Minus => "-",
        SqlToken::Mul => "*",
        SqlToken::Div => "/",
        SqlToken::Mod => "%",
        SqlToken::StringConcat => "||",
        other => return Err(at.error(refusal(other))),
    };
    Ok(Token::Symbol(symbol))
}

/// What to write instead of a symbol that other languages have and this one has not.
fn refusal(token: &SqlToken) -> String {
    let shown = excerpt(&token.to_string());
    let hint = match token {
        SqlToken::Placeholder(_) | SqlToken::AtSign | SqlToken::DollarQuotedString(_) => {
            "; parameters are written :name"
        }
        SqlToken::ExclamationMark => "; negation is written NOT",
        SqlToken::Overlap => "; conjunction is written AND",
        SqlToken::Pipe => "; disjunction is written OR, concatenation ||",
        SqlToken::Number(..) | SqlToken::HexStringLiteral(_) => {
            "; numbers are written in decimal, without a suffix"
        }
        SqlToken::NationalStringLiteral(_) => "; strings are written 'text'",
        SqlToken::Sharp => "; comments begin with --",
        _ => "",
    };
    format!("`{shown}` is not part of the query language{hint}")
}

/// The tokenizer's dialect: plain SQL with `"…"` and `` `…` `` for names.
#[derive(Debug)]
struct Sedge;

impl Dialect for Sedge {
    fn is_identifier_start(&self, character: char) -> bool {
        character.is_alphabetic() || character == '_'
    }

    fn is_identifier_part(&self, character: char) -> bool {
        character.is_alphanumeric() || character == '_'
    }
}

/// All tokens with their places, white space included.
///
/// The tokenizer refuses `._` unless a word stands directly before it, but `items[0]._id` is a path here; so it is
/// restarted behind such a dot.
fn tokenize(text: &str) -> Result<Vec<(SqlToken, Position)>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let mut origin = Position::START;
    loop {
        let mut part = Vec::new();
        let outcome = Tokenizer::new(&Sedge, rest).tokenize_with_location_into_buf(&mut part);
        tokens.extend(
            part.into_iter()
                .map(|found| (found.token, place(origin, found.span.start))),
        );
        let Err(error) = outcome else {
            return Ok(tokens);
        };
        let at = place(origin, error.location);
        let dot = Cursor::new(rest).byte_at(place(Position::START, error.location));
        match rest.get(dot..).and_then(|tail| tail.strip_prefix('.')) {
            Some(member) if member.starts_with('_') => {
                tokens.push((SqlToken::Period, at));
                rest = member;
                origin = Position {
                    column: at.column + 1,
                    ..at
                };
            }
            _ => return Err(at.error(unfinished(&error, &rest[dot..]))),
        }
    }
}

fn unfinished(error: &TokenizerError, tail: &str) -> String {
    match tail.chars().next() {
        Some('\'') => "this string has no closing '; a quote inside a string is written ''".into(),
        Some(quote @ ('"' | '`')) => format!("this name has no closing {quote}"),
        None => "the text ends inside a comment or string".into(),
        Some(_) => format!("cannot be read: {}", error.message),
    }
}

/// A location relative to `origin`, as a place in the whole text.
fn place(origin: Position, location: Location) -> Position {
    // The text is at most STATEMENT_BYTES_MAX long, so neither number can saturate.
    let line = u32::try_from(location.line).unwrap_or(u32::MAX);
    let column = u32::try_from(location.column).unwrap_or(u32::MAX);
    Position {
        line: origin.line + line - 1,
        column: if line == 1 {
            origin.column + column - 1
        } else {
            column
        },
    }
}

/// Finds the bytes of places that are asked for in ascending order, in one pass over the text.
struct Cursor<'a> {
    rest: std::str::Chars<'a>,
    length: usize,
    here: Position,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Cursor {
            rest: text.chars(),
            length: text.len(),
            here: Position::START,
        }
    }

    fn byte_at(&mut self, wanted: Position) -> usize {
        while (self.here.line, self.here.column) < (wanted.line, wanted.column) && self.step() {}
        self.length - self.rest.as_str().len()
    }

    fn end(mut self) -> Position {
        while self.step() {}
        self.here
    }

    fn step(&mut self) -> bool {
        match self.rest.next() {
            None => return false,
            Some('\n') => {
                self.here.line += 1;
                self.here.column = 1;
            }
            Some(_) => self.here.column += 1,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        lexemes(text)
            .unwrap()
            .iter()
            .map(|lexeme| format!("{}:{}", lexeme.at.line, &text[lexeme.start..lexeme.end]))
            .collect()
    }

    #[test]
    fn lexemes_know_their_text_and_place() {
        assert_eq!(
            shown("a == 'ü' -- note\n  b[0]._id._x"),
            [
                "1:a", "1:==", "1:'ü'", "2:b", "2:[", "2:0", "2:]", "2:.", "2:_id", "2:.", "2:_x",
                "2:"
            ]
        );
    }

    #[test]
    fn foreign_symbols_are_refused_where_they_stand() {
        for (text, column, reason) in [
            ("a = ?", 5, "written :name"),
            ("a = $x", 5, "written :name"),
            ("a && b", 3, "written AND"),
            ("!a", 1, "written NOT"),
            ("0x1F", 1, "in decimal"),
            ("1L", 1, "in decimal"),
            ("a = 'x", 5, "no closing '"),
            ("a = \"x", 5, "no closing \""),
            ("a /* b", 7, "ends inside"),
        ] {
            let error = lexemes(text).unwrap_err();
            assert!(error.message.contains(reason), "{text}: {error}");
            assert_eq!(error.column, Some(column), "{text}: {error}");
        }
        let long = " ".repeat(STATEMENT_BYTES_MAX + 1);
        assert!(lexemes(&long).unwrap_err().message.contains("65537 bytes"));
    }
}
