// Text in a container: names and metadata are UTF-8.
#pragma once

#include <string.h>

#include "bytes.h"

namespace bitpress::format {

// Shortest-form UTF-8 without surrogates.
inline bool valid_utf8(Bytes text) noexcept {
    for (std::size_t i = 0; i < text.size();) {
        const unsigned lead = text[i++];
        if (lead < 0x80) continue;
        const unsigned more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        if (lead < 0xC2 || lead > 0xF4 || text.size() - i < more) return false;
        // The second byte's range excludes overlong forms, surrogates and what lies beyond U+10FFFF.
        const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (text[i] < low || text[i] > high) return false;
        for (unsigned k = 1; k < more; ++k) {
            if ((text[i + k] & 0xC0) != 0x80) return false;
        }
        i += more;
    }
    return true;
}

// Where a text begins in bytes, or null.
inline const std::uint8_t* find_text(Bytes in, const char* text) noexcept {
    const std::size_t n = strlen(text);
    const std::uint8_t* p = in.data();
    const std::uint8_t* const end = p + in.size();
    while (static_cast<std::size_t>(end - p) >= n) {
        p = static_cast<const std::uint8_t*>(memchr(p, text[0], static_cast<std::size_t>(end - p) - n + 1));
        if (p == nullptr) return nullptr;
        if (memcmp(p, text, n) == 0) return p;
        ++p;
    }
    return nullptr;
}

}  // namespace bitpress::format
