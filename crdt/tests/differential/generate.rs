//! Random queries about the fields of a data set, with constants of its documents.

use super::data::Data;
use super::tree::{Column, Expr, Field, Kind, Members, Query, Sort, SortBy};
use sedge_crdt::Value;

/// The splitmix64 generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// Levels of generated expressions.
const DEPTH_MAX: usize = 3;

pub(crate) struct Generator<'a> {
    pub(crate) random: Random,
    pub(crate) data: &'a Data,
    /// What expressions over groups are made of; `None` while documents are looked at.
    pub(crate) groups: Option<Vec<Expr>>,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(data: &'a Data, seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            data,
            groups: None,
        }
    }

    pub(crate) fn query(&mut self) -> Query {
        let mut query = Query {
            filter: (!self.random.one_in(5)).then(|| self.condition(DEPTH_MAX)),
            ..Query::default()
        };
        if self.random.one_in(3) {
            self.over_groups(&mut query);
        } else {
            self.over_documents(&mut query);
        }
        // Which rows of a set without an order are the first ones is nobody's business.
        if !(query.grouped && query.distinct) {
            query.limit = self
                .random
                .one_in(3)
                .then(|| *self.random.pick(&[0, 1, 2, 5, 20, 100, 5_000]));
            query.offset = self
                .random
                .one_in(5)
                .then(|| *self.random.pick(&[0, 1, 3, 30, 1_000]));
        }
        query
    }

    fn over_documents(&mut self, query: &mut Query) {
        if !self.random.one_in(6) {
            query.columns = self.columns();
            query.distinct = self.random.one_in(4);
        }
        self.order(query);
    }

    fn over_groups(&mut self, query: &mut Query) {
        query.grouped = true;
        for _ in 0..*self.random.pick(&[0, 1, 1, 1, 2]) {
            let key = match self.random.one_in(3) {
                true => self.scalar(1),
                false => Expr::Field(self.field(&[
                    Kind::Int,
                    Kind::Number,
                    Kind::Text,
                    Kind::Mixed,
                    Kind::Bool,
                    Kind::Absent,
                ])),
            };
            if !is_constant(&key) && !query.keys.contains(&key) {
                query.keys.push(key);
            }
        }
        let mut leaves = query.keys.clone();
        let aggregates = 1 + self.random.below(3);
        for _ in 0..aggregates {
            leaves.push(self.aggregate());
        }
        // Aggregates whose last digits depend on the order of adding are shown, but nothing depends on them.
        let (rough, exact): (Vec<Expr>, Vec<Expr>) = leaves.iter().cloned().partition(is_rough);
        let mut columns = leaves.clone();
        self.groups = Some(exact);
        if self.random.one_in(3) {
            columns.push(self.scalar(2));
        }
        query.columns = self.named(columns);
        query.having = self.random.one_in(3).then(|| self.condition(2));
        query.distinct = self.random.one_in(8) && rough.is_empty();
        if !query.distinct {
            self.order(query);
            query.order.retain(|sort| match &sort.by {
                SortBy::Column(index) => !is_rough(&query.columns[*index].expr),
                SortBy::Expr(_) => true,
            });
        }
        self.groups = None;
    }

    fn columns(&mut self) -> Vec<Column> {
        let mut columns = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            columns.push(match self.random.below(4) {
                0 | 1 => Expr::Field(self.random.pick(&self.data.fields).clone()),
                2 => self.scalar(DEPTH_MAX),
                _ => self.scalar(1),
            });
        }
        self.named(columns)
    }

    fn named(&mut self, exprs: Vec<Expr>) -> Vec<Column> {
        let mut columns: Vec<Column> = Vec::new();
        for (index, expr) in exprs.into_iter().enumerate() {
            let name = |expr: &Expr| match expr {
                Expr::Field(field) => field.name(),
                _ => None,
            };
            let own = name(&expr);
            let is_free = match own {
                Some(own) => columns
                    .iter()
                    .all(|it| it.alias.is_some() || name(&it.expr) != Some(own)),
                None => index == 0,
            };
            let is_named = !is_free || self.random.one_in(2);
            let alias = is_named.then(|| format!("c{index}"));
            columns.push(Column { expr, alias });
        }
        columns
    }

    fn order(&mut self, query: &mut Query) {
        if self.random.one_in(2) {
            return;
        }
        for _ in 0..1 + self.random.below(2) {
            let named = |column: &Column| {
                column.alias.is_some()
                    || matches!(&column.expr, Expr::Field(it) if it.name().is_some())
            };
            let of_scalars =
                |column: &Column| !matches!(column.expr.kind(), Kind::List | Kind::Map);
            let columns: Vec<usize> = (0..query.columns.len())
                .filter(|index| named(&query.columns[*index]) && of_scalars(&query.columns[*index]))
                .collect();
            let by_column = query.distinct || self.random.one_in(2);
            let by = match (by_column && !columns.is_empty(), query.distinct) {
                (true, _) => SortBy::Column(*self.random.pick(&columns)),
                (false, true) => return,
                (false, false) => match self.scalar(1) {
                    expr if is_constant(&expr) => return, // which is refused
                    expr => SortBy::Expr(expr),
                },
            };
            let descending = self.random.one_in(2);
            query.order.push(Sort { by, descending });
        }
    }

    /// A field of one of these kinds, or one that no document has.
    pub(crate) fn field(&mut self, kinds: &[Kind]) -> Field {
        let fits = |field: &&Field| kinds.contains(&field.kind);
        let fields: Vec<&Field> = self.data.fields.iter().filter(fits).collect();
        match fields.is_empty() {
            true => self.data.absent(),
            false => (*self.random.pick(&fields)).clone(),
        }
    }

    /// An expression whose value is no list and no map.
    pub(crate) fn scalar(&mut self, depth: usize) -> Expr {
        match self.random.below(12) {
            0..=3 => self.number(depth),
            4..=6 => self.text(depth),
            7 => self.condition(depth.min(2)),
            8 if depth > 0 => {
                let field = self.leaf(&[Kind::Mixed, Kind::Number, Kind::Text]);
                let other = self.leaf(&[Kind::Text, Kind::Int]);
                Expr::Call("COALESCE", vec![field, other])
            }
            9 if depth > 0 => {
                let kind = *self.random.pick(&[Kind::Mixed, Kind::Number, Kind::Text]);
                self.case(depth, &mut |it, _| it.leaf(&[kind]))
            }
            _ => self.leaf(&[
                Kind::Int,
                Kind::Number,
                Kind::Text,
                Kind::Mixed,
                Kind::Bool,
                Kind::Absent,
            ]),
        }
    }

    /// Something without parts: a field, or what a group has in its place; a constant of the first kind now and then.
    pub(crate) fn leaf(&mut self, kinds: &[Kind]) -> Expr {
        let constant = self.random.one_in(8);
        let kind = *self.random.pick(kinds);
        if let Some(groups) = &self.groups {
            let leaves: Vec<&Expr> = groups
                .iter()
                .filter(|it| kinds.contains(&it.kind()))
                .collect();
            return match leaves.is_empty() || constant {
                true => self.constant(kind),
                false => (*self.random.pick(&leaves)).clone(),
            };
        }
        match constant {
            true => self.constant(kind),
            false => Expr::Field(self.field(kinds)),
        }
    }

    pub(crate) fn constant(&mut self, kind: Kind) -> Expr {
        let value = match kind {
            Kind::Bool => Value::Bool(self.random.one_in(2)),
            _ if self.random.one_in(25) => Value::Null,
            Kind::Int => Value::Int(*self.random.pick(&[-3, -1, 0, 1, 2, 4, 7, 8, 100])),
            Kind::Number if self.random.one_in(2) => {
                Value::Float(*self.random.pick(&[-1.5, 0.0, 0.5, 2.0, 6.1, 40.25]))
            }
            Kind::Number => Value::Int(self.random.below(50) as i64),
            _ => self.sample(kind),
        };
        match self.random.one_in(6) {
            true => Expr::Parameter(value),
            false => Expr::Literal(value),
        }
    }

    /// A value that some document has in a field of this kind.
    pub(crate) fn sample(&mut self, kind: Kind) -> Value {
        let field = self.field(&[kind]);
        self.sample_of(&field)
    }

    fn sample_of(&mut self, field: &Field) -> Value {
        for _ in 0..8 {
            let document = self.random.pick(&self.data.documents);
            if let Some(value @ (Value::Int(_) | Value::Float(_) | Value::String(_))) =
                self.data.at(document, field)
            {
                return value.clone();
            }
        }
        Value::String("a".to_owned())
    }

    pub(crate) fn number(&mut self, depth: usize) -> Expr {
        let small = |it: &mut Self| Expr::Literal(Value::Int(it.random.below(20) as i64 - 5));
        // Rarely something that is no number.
        let any = [
            Kind::Int,
            Kind::Number,
            Kind::Int,
            Kind::Number,
            Kind::Mixed,
            Kind::Text,
        ];
        let kinds = if self.random.one_in(8) {
            &any[..]
        } else {
            &any[..2]
        };
        if depth == 0 {
            return self.leaf(&any[..2]);
        }
        match self.random.below(12) {
            0 => Expr::Negate(self.number(depth - 1).into()),
            1 => Expr::Arithmetic('+', self.number(depth - 1).into(), self.leaf(kinds).into()),
            2 => Expr::Arithmetic('-', self.leaf(kinds).into(), self.number(depth - 1).into()),
            3 => Expr::Arithmetic('*', self.number(depth - 1).into(), small(self).into()),
            4 => Expr::Arithmetic('/', self.leaf(&any[..2]).into(), self.leaf(kinds).into()),
            5 => Expr::Arithmetic(
                '%',
                self.leaf(&[Kind::Int]).into(),
                self.leaf(&[Kind::Int]).into(),
            ),
            6 => Expr::Call("ABS", vec![self.number(depth - 1)]),
            7 => {
                let number = self.leaf(kinds);
                let mut arguments = vec![number];
                if self.random.one_in(2) {
                    arguments.push(Expr::Literal(Value::Int(self.random.below(3) as i64)));
                }
                Expr::Call("ROUND", arguments)
            }
            8 if self.groups.is_none() && self.random.one_in(2) => {
                Expr::Call("LENGTH", vec![Expr::Field(self.field(&[Kind::List]))])
            }
            8 => Expr::Call("LENGTH", vec![self.text(depth - 1)]),
            9 => Expr::Call(
                "COALESCE",
                vec![self.number(depth - 1), self.leaf(&any[..2])],
            ),
            10 => self.case(depth, &mut |it, depth| it.number(depth)),
            _ => self.leaf(kinds),
        }
    }

    pub(crate) fn text(&mut self, depth: usize) -> Expr {
        let any = [Kind::Text, Kind::Mixed, Kind::Int];
        let kinds = if self.random.one_in(6) {
            &any[..]
        } else {
            &any[..1]
        };
        if depth == 0 {
            return self.leaf(&any[..1]);
        }
        match self.random.below(10) {
            0 => Expr::Concat(self.text(depth - 1).into(), self.leaf(&any).into()),
            1 => Expr::Concat(self.leaf(&any).into(), self.text(depth - 1).into()),
            2 => Expr::Call("LOWER", vec![self.text(depth - 1)]),
            3 => Expr::Call("UPPER", vec![self.leaf(kinds)]),
            4 => {
                let blanks = |it: Expr| Expr::Concat(Expr::Literal("  ".into()).into(), it.into());
                let text = blanks(self.leaf(&any[..1]));
                Expr::Call(
                    "TRIM",
                    vec![Expr::Concat(text.into(), Expr::Literal(" ".into()).into())],
                )
            }
            5 | 6 => {
                let mut arguments = vec![
                    self.text(depth - 1),
                    Expr::Literal(Value::Int(1 + self.random.below(6) as i64)),
                ];
                if self.random.one_in(2) {
                    arguments.push(Expr::Literal(Value::Int(self.random.below(5) as i64)));
                }
                Expr::Call("SUBSTR", arguments)
            }
            7 => self.case(depth, &mut |it, depth| it.text(depth)),
            _ => self.leaf(kinds),
        }
    }

    fn case(&mut self, depth: usize, then: &mut dyn FnMut(&mut Self, usize) -> Expr) -> Expr {
        let depth = depth.saturating_sub(1);
        let compared = self
            .random
            .one_in(2)
            .then(|| self.leaf(&[Kind::Int, Kind::Text, Kind::Mixed]));
        let branches = (0..1 + self.random.below(2))
            .map(|_| {
                let when = match &compared {
                    Some(compared) => self.near(compared),
                    None => self.condition(depth.min(1)),
                };
                (when, then(self, depth))
            })
            .collect();
        Expr::Case {
            operand: compared.map(Box::new),
            branches,
            otherwise: self.random.one_in(2).then(|| then(self, depth).into()),
        }
    }

    /// A constant that the expression may well be equal to.
    pub(crate) fn near(&mut self, expr: &Expr) -> Expr {
        match expr {
            Expr::Field(field) if !self.random.one_in(12) => Expr::Literal(self.sample_of(field)),
            expr => self.constant(expr.kind()),
        }
    }

    fn aggregate(&mut self) -> Expr {
        let distinct = self.random.one_in(4);
        let of = |name, argument| Expr::Aggregate {
            name,
            distinct,
            argument: Some(Box::new(argument)),
        };
        let scalars = [Kind::Int, Kind::Number, Kind::Text, Kind::Mixed];
        match self.random.below(9) {
            0 | 1 => Expr::Aggregate {
                name: "COUNT",
                distinct: false,
                argument: None,
            },
            2 => of("COUNT", self.scalar(1)),
            3 => of("SUM", self.leaf(&[Kind::Int])),
            4 => of("SUM", self.leaf(&[Kind::Number, Kind::Mixed])),
            5 => of("AVG", self.leaf(&[Kind::Int, Kind::Number])),
            6 => of("SUM", self.number(1)),
            7 => of("MIN", self.leaf(&scalars)),
            _ => of("MAX", self.leaf(&scalars)),
        }
    }
}

/// Whether it is worth the same for every document and group.
pub(crate) fn is_constant(expr: &Expr) -> bool {
    !expr.any(&|part| match part {
        Expr::Field(_) | Expr::Aggregate { .. } => true,
        Expr::In { members, .. } => matches!(members, Members::Field(_)),
        _ => false,
    })
}

/// Whether the last digits of a result may differ between the languages: sums of floats depend on the order.
pub(crate) fn is_rough(expr: &Expr) -> bool {
    expr.any(&|part| match part {
        Expr::Aggregate { name: "AVG", .. } => true,
        Expr::Aggregate {
            name: "SUM",
            argument,
            ..
        } => argument.as_ref().is_none_or(|it| it.kind() != Kind::Int),
        _ => false,
    })
}
