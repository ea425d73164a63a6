//! Responses under review: one file for each documented error and success, which a person has read and accepted.
//!
//! An error response is an interface, since clients match on its status and its text. Here is which answers are kept ([`table`]), how an
//! answer becomes a text that is the same in every run ([`take`], [`placeholders`], [`masks`]), and how such texts are laid beside the accepted
//! ones ([`review`]); these are pure. The files, in the format of insta, are read and written by [`files`].

pub mod files;
pub mod masks;
pub mod placeholders;
pub mod review;
pub mod table;
pub mod take;
