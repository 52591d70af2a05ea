//! Clients in great numbers and bad ones, over real sockets.
