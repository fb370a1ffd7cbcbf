// The encoder's choice of contexts for bounded frames.
#pragma once

#include "codings/bounded_model.h"

namespace bitpress::bounded {

// counts[class_count][256]: how often each token occurs in each class; overwritten. ends: the first class after each
// context, rising, the last class_count. Returns how many contexts there are, 1..max_contexts. Whole numbers alone.
unsigned merge_classes(std::uint32_t (*counts)[256], std::uint8_t ends[max_contexts]) noexcept;

}  // namespace bitpress::bounded
