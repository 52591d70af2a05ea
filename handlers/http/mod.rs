//! What the HTTP functions share.
//!
//! | module | what it does |
//! |---|---|
//! | [`access`] | who may read |
//! | [`parameters`] | the query, strictly: a parameter that is mistyped is refused, not ignored |
//! | [`negotiation`] | the form that the caller would rather have |
//! | [`page`] | the files of pages |
//! | [`revalidation`] | ETags, and 304 where the caller has the answer already |

pub mod access;
pub mod negotiation;
pub mod page;
pub mod parameters;
pub mod revalidation;
