//! The server's tests, one program for all of them.

mod kit;

mod hostile;
mod lifetime;
mod page;
mod protocol;
mod stock_client;
