//! A conformance suite for two small webhook APIs.
//!
//! Data flows one way: [`catalogue`] → [`checks`] → fixtures ([`target`], [`gather`]) → exchanges ([`evidence`]) → findings
//! ([`verdict`]) → events ([`runner`]) → [`report`]. The program is [`cli`], [`config`], [`commands`] and [`exit`].

pub mod adapter;
pub mod api;
pub mod audit;
pub mod catalogue;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod config;
pub mod evidence;
pub mod exit;
pub mod gather;
pub mod histories;
pub mod known;
pub mod load;
pub mod model;
pub mod profile;
pub mod prove;
pub mod report;
pub mod runner;
pub mod secret;
pub mod snapshots;
pub mod target;
pub mod verdict;
