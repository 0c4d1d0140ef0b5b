"""One file a published layout: recognise it from its keys, map it on an architecture."""
