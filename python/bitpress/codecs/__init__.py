"""bitpress in others' ecosystems: codecs for numcodecs (``numcodecs``) and zarr's version 3 (``zarr``).

Both are found by entry points where bitpress is installed; importing a module here registers its codecs too.
"""
