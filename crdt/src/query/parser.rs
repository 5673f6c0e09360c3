//! The parser's hands: looking at lexemes, taking them, and saying what else was expected.

use super::aggregate::AggregateCall;
use super::ast::{Expr, ExprKind};
use super::error::{Position, QueryError, did_you_mean, excerpt};
use super::lexer::{Lexeme, Token, lexemes};
use super::limits::NESTING_MAX;

/// Words that are never plain names; a field or collection of such a name is written in quotes.
const RESERVED: [&str; 29] = [
    "AND", "APPLY", "AS", "BETWEEN", "CASE", "DISTINCT", "ELSE", "END", "FALSE", "FROM", "GROUP",
    "HAVING", "IN", "IS", "LIKE", "LIMIT", "MISSING", "NOT", "NULL", "OFFSET", "OR", "ORDER",
    "SELECT", "SET", "THEN", "TRUE", "UNSET", "WHEN", "WHERE",
];

/// What an aggregate would mean at the place being parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregates {
    /// Here it is computed over the group.
    Allowed,
    /// Here it has no meaning; the text says where "here" is.
    Forbidden(&'static str),
}

/// A statement's lexemes and how far they have been read.
pub(super) struct Parser<'a> {
    text: &'a str,
    lexemes: Vec<Lexeme>,
    next: usize,
    depth: usize,
    pub(super) context: Aggregates,
    /// The aggregates met so far; expressions name them by their index.
    pub(super) aggregates: Vec<AggregateCall>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, QueryError> {
        Ok(Parser {
            text,
            lexemes: lexemes(text)?,
            next: 0,
            depth: 0,
            context: Aggregates::Forbidden("here"),
            aggregates: Vec::new(),
        })
    }

    /// The lexeme `ahead` places after the next one. The last lexeme, the end, repeats forever.
    fn look(&self, ahead: usize) -> &Lexeme {
        let last = self.lexemes.len() - 1;
        &self.lexemes[(self.next + ahead).min(last)]
    }

    pub(super) fn peek(&self) -> &Token {
        &self.look(0).token
    }

    pub(super) fn peek_second(&self) -> &Token {
        &self.look(1).token
    }

    /// Whether nothing stands between the next two lexemes.
    pub(super) fn second_is_adjacent(&self) -> bool {
        self.look(0).end == self.look(1).start
    }

    pub(super) fn at(&self) -> Position {
        self.look(0).at
    }

    pub(super) fn take(&mut self) -> Lexeme {
        let lexeme = self.look(0).clone();
        self.next += 1;
        lexeme
    }

    pub(super) fn sees(&self, keyword: &str) -> bool {
        is_word(self.peek(), keyword)
    }

    pub(super) fn sees_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if *found == symbol)
    }

    /// Takes the next word if it is this keyword, in any case.
    pub(super) fn eat(&mut self, keyword: &str) -> bool {
        let found = self.sees(keyword);
        self.next += usize::from(found);
        found
    }

    pub(super) fn eat_symbol(&mut self, symbol: &str) -> bool {
        let found = self.sees_symbol(symbol);
        self.next += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, keyword: &str) -> Result<(), QueryError> {
        if self.eat(keyword) {
            return Ok(());
        }
        Err(self.unexpected(keyword, &[keyword]))
    }

    pub(super) fn expect_symbol(&mut self, symbol: &str) -> Result<(), QueryError> {
        if self.eat_symbol(symbol) {
            return Ok(());
        }
        Err(self.unexpected(&format!("`{symbol}`"), &["AND", "OR"]))
    }

    /// An error at the next lexeme. `words` are keywords it may be a misspelling of.
    pub(super) fn unexpected(&self, expected: &str, words: &[&str]) -> QueryError {
        let hint = match self.peek() {
            Token::Word(word) => did_you_mean(word, words.iter().copied()),
            _ => String::new(),
        };
        self.at()
            .error(format!("expected {expected}, found {}{hint}", self.shown()))
    }

    /// The next lexeme as messages quote it.
    pub(super) fn shown(&self) -> String {
        let lexeme = self.look(0);
        match lexeme.token {
            Token::End => "the end of the statement".into(),
            _ => format!(
                "`{}`",
                excerpt(self.text[lexeme.start..lexeme.end].trim_end())
            ),
        }
    }

    /// The byte at which the next lexeme begins.
    pub(super) fn offset(&self) -> usize {
        self.look(0).start
    }

    /// The text since `start` up to the last lexeme taken, with white space made uniform.
    pub(super) fn source_since(&self, start: usize) -> String {
        let end = self.lexemes[self.next.saturating_sub(1).min(self.lexemes.len() - 1)].end;
        let words: Vec<&str> = self.text[start..end].split_whitespace().collect();
        words.join(" ")
    }

    /// A name: a word that is not reserved, or anything in quotes.
    pub(super) fn name(&mut self, what: &str) -> Result<String, QueryError> {
        self.check_not_reserved(what)?;
        match self.peek() {
            Token::Word(name) | Token::Quoted(name) => {
                let name = name.clone();
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(what, &[])),
        }
    }

    /// Refuses a reserved word where a name has to stand.
    pub(super) fn check_not_reserved(&self, what: &str) -> Result<(), QueryError> {
        match self.peek() {
            Token::Word(word) if is_reserved(word) => Err(self.at().error(format!(
                "expected {what}, found the keyword {}; a name like that is written \"{word}\"",
                word.to_ascii_uppercase()
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses everything but the end of the only statement.
    pub(super) fn end(&mut self, expected: &str, words: &[&str]) -> Result<(), QueryError> {
        let closed = self.eat_symbol(";");
        while self.eat_symbol(";") {}
        match self.peek() {
            Token::End => Ok(()),
            _ if closed => Err(self
                .at()
                .error("a second statement begins here; send one statement at a time")),
            _ => Err(self.unexpected(expected, words)),
        }
    }

    /// Goes one level down; [`leave`](Self::leave) comes back up.
    pub(super) fn enter(&mut self) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(too_deep(self.at()));
        }
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Makes an expression, unless it would be too deep to walk.
    pub(super) fn node(&self, kind: ExprKind, at: Position) -> Result<Expr, QueryError> {
        let expr = Expr::new(kind, at);
        if expr.height > NESTING_MAX {
            return Err(too_deep(at));
        }
        Ok(expr)
    }
}

fn too_deep(at: Position) -> QueryError {
    at.error(format!(
        "the expression nests deeper than {NESTING_MAX} levels; move parts of it into :parameters"
    ))
}

pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED
        .iter()
        .any(|reserved| word.eq_ignore_ascii_case(reserved))
}

pub(super) fn is_word(token: &Token, keyword: &str) -> bool {
    matches!(token, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
}
