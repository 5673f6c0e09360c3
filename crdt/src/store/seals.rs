//! Seals in the store: making them (`sealer`), keeping them beside what they prove (`kept`), knowing their makers
//! (`authority`), making those anew that do not count any more (`again`), holding back what they do not cover yet (`release`), and
//! telling of it (`withheld`).

mod again;
pub(super) mod authority;
pub(super) mod kept;
pub(super) mod release;
pub(super) mod sealer;
pub(super) mod withheld;
