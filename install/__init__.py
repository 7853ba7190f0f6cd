"""How damod gets onto a machine: what goes where (layout), what Debian lacks (vendor), man pages, the .deb."""
