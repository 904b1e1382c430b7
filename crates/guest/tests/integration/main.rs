//! Edits of whole guests.

mod customize;
mod distributions;
mod firstboot;
mod judge;
mod operations;
mod real_guest;
mod sysprep;
