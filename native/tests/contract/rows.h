// The contract of the slots that work row by row: embed, rms_norm, quantize, add, argmax, and of the two probes.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/contract/check.h"
#include "tests/contract/oracle.h"

namespace honed::contract {

inline constexpr int64_t kWidths[] = {1, 15, 16, 17, 31, 33, 63, 65, 100, 576, 896};

// Rows [begin, end) of `rows`, the stride of the source and of the destination.
struct RowRange {
  int64_t width, rows, begin, end, x_stride, y_stride;
};

inline RowRange draw_rows(Random& random, int64_t width, int64_t x_width) {
  const int64_t rows = random.between(1, 9);
  const int64_t begin = random.chance(3) ? random.between(0, rows - 1) : 0;
  const int64_t end = random.chance(3) ? random.between(begin, rows) : rows;
  return {width, rows, begin, end, x_width + random.between(0, 3), width + random.between(0, 3)};
}

inline bool begin_rows(Check& check, const RowRange& range, const char* mode, Values values) {
  return check.begin("width %lld rows [%lld, %lld) of %lld, %s, %s values", static_cast<long long>(range.width),
                     static_cast<long long>(range.begin), static_cast<long long>(range.end),
                     static_cast<long long>(range.rows), mode, name_of(values));
}

inline void test_embed(Check& check, const KernelTable& table) {
  constexpr int64_t kEntries = 11;
  constexpr const char* kNames[] = {"f32", "bf16", "f16"};
  for (int type = 0; type < 3; ++type) {
    for (const int64_t width : kWidths) {
      Random random(1000 + static_cast<uint64_t>(width * 3 + type));
      const RowRange range = draw_rows(random, width, width);
      if (!begin_rows(check, range, kNames[type], Values::spread)) continue;
      Guarded<float> wide(kEntries * width);
      random.fill(wide, Values::spread);
      Guarded<uint16_t> narrow(kEntries * width);
      for (int64_t i = 0; i < narrow.size(); ++i) {
        // Every finite half, denormals among them; for bf16 the same bits are finite too.
        narrow[i] = static_cast<uint16_t>(random.between(0, 0x7bff) | (random.chance(2) ? 0x8000 : 0));
      }
      Guarded<int32_t> tokens(range.rows);
      for (int64_t row = 0; row < range.rows; ++row) {
        tokens[row] = static_cast<int32_t>(random.between(0, kEntries - 1));
      }
      tokens[range.rows - 1] = kEntries - 1;
      Guarded<float> y((range.rows - 1) * range.y_stride + width);
      fill(y, canary());
      std::vector<float> want = y.image();
      for (int64_t row = range.begin; row < range.end; ++row) {
        for (int64_t i = 0; i < width; ++i) {
          const int64_t from = tokens[row] * width + i;
          const float value = type == 0 ? wide[from] : type == 1 ? oracle_bf16(narrow[from]) : oracle_f16(narrow[from]);
          want[static_cast<std::size_t>(row * range.y_stride + i)] = value;
        }
      }
      const void* source = type == 0 ? static_cast<const void*>(wide.data()) : narrow.data();
      table.embed({tokens.data(), range.begin, range.end, source, static_cast<TableType>(type), width, y.data(),
                   range.y_stride});
      check.same("y", y, want, range.y_stride);
    }
  }
}

inline void test_rms_norm(Check& check, const KernelTable& table) {
  for (const Values values : kAllValues) {
    for (const int64_t width : kWidths) {
      for (const bool in_place : {false, true}) {
        Random random(2000 + static_cast<uint64_t>(width * 2 + in_place));
        RowRange range = draw_rows(random, width, width);
        if (in_place) range.y_stride = range.x_stride;
        if (!begin_rows(check, range, in_place ? "in place" : "apart", values)) continue;
        Guarded<float> x((range.rows - 1) * range.x_stride + width);
        random.fill(x, values);
        Guarded<float> weight(width);
        random.fill(weight, Values::ordinary);
        const float eps = 1e-5f;
        Guarded<float> apart((range.rows - 1) * range.y_stride + width);
        fill(apart, canary());
        Guarded<float>& y = in_place ? x : apart;
        std::vector<float> want = y.image();
        for (int64_t row = range.begin; row < range.end; ++row) {
          const float* source = x.data() + row * range.x_stride;
          float* place = want.data() + row * range.y_stride;
          oracle_rms_norm(source, weight.data(), width, eps, place);
          double squares = 0.0;
          for (int64_t i = 0; i < width; ++i) squares += std::pow(static_cast<double>(source[i]), 2);
          const double r = 1.0 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(eps));
          const double exact = static_cast<double>(source[0]) * r * static_cast<double>(weight[0]);
          if (squares < 1e36) check.close("first value", place[0], exact, std::fabs(exact), width);
        }
        table.rms_norm({x.data(), range.x_stride, range.begin, range.end, weight.data(), width, eps, y.data(),
                        range.y_stride});
        check.same("y", y, want, range.y_stride);
      }
    }
  }
}

// One group of one row: codes to q, the scale returned.
template <typename Code>
float oracle_quantize(const float* x, int64_t valid, int64_t length, Code* q, float most = 127.0f) {
  float largest = 0.0f;
  for (int64_t i = 0; i < valid; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float inverse = largest > 0.0f ? most / largest : 0.0f;
  for (int64_t i = 0; i < length; ++i) {
    float scaled = i < valid ? x[i] * inverse : 0.0f;
    // In a group of denormals the inverse is infinite and a zero among them not a number: `most` of almost nothing.
    if (std::isnan(scaled)) scaled = most;
    q[i] = static_cast<Code>(std::min(std::max(std::nearbyintf(scaled), -most), most));
  }
  return largest / most;
}

inline void test_quantize_case(Check& check, const KernelTable& table, int64_t width, int64_t group, Values values) {
  Random random(3000 + static_cast<uint64_t>(width * 200 + group));
  RowRange range = draw_rows(random, width, width);
  char mode[64];
  std::snprintf(mode, sizeof mode, "activation groups of %lld", static_cast<long long>(group));
  if (!begin_rows(check, range, mode, values)) return;
  const int64_t multiple = std::max<int64_t>(group, 32);
  const int64_t padded = round_up(width, multiple) + multiple * random.between(0, 1);
  const int64_t scales = group == 0 ? 1 : padded / group;
  const int64_t span = group == 0 ? padded : group;
  QuantizeArgs args{};
  args.scales_offset = padded + 4 * random.between(0, 2);
  args.sums_offset = args.scales_offset + 4 * scales + 4 * random.between(0, 2);
  args.y_row_bytes = args.sums_offset + padded / 32 * 4 + 4 * random.between(0, 2);
  Guarded<float> x((range.rows - 1) * range.x_stride + width);
  random.fill(x, values);
  if (values == Values::ordinary) {  // halves and their neighbours, with a scale of one: what rounding must get right
    for (int64_t i = 0; i < x.size(); ++i) {
      const float half = static_cast<float>(random.between(-127, 126)) + 0.5f;
      const float neighbours[] = {half, std::nextafter(half, 1000.0f), std::nextafter(half, -1000.0f), 127.0f};
      if (random.chance(2)) x[i] = neighbours[random.between(0, 3)];
    }
  } else if (random.chance(2)) {
    std::fill(x.data(), x.data() + width, 0.0f);
  }
  Guarded<uint8_t> y(range.rows * args.y_row_bytes);
  std::fill(y.data(), y.data() + y.size(), uint8_t{0xa5});
  std::vector<uint8_t> want = y.image();
  for (int64_t row = range.begin; row < range.end; ++row) {
    uint8_t* place = want.data() + row * args.y_row_bytes;
    for (int64_t g = 0; g < scales; ++g) {
      const int64_t valid = std::clamp<int64_t>(width - g * span, 0, span);
      int8_t* q = reinterpret_cast<int8_t*>(place) + g * span;
      const float scale = oracle_quantize(x.data() + row * range.x_stride + g * span, valid, span, q);
      std::memcpy(place + args.scales_offset + g * 4, &scale, 4);
      for (int64_t i = 0; i < valid; ++i) {
        const double original = static_cast<double>(x[row * range.x_stride + g * span + i]);
        if (scale < 1e-36f) break;  // denormal arithmetic promises less
        const float restored = static_cast<float>(q[i]) * scale;
        if (std::fabs(static_cast<double>(restored) - original) > 0.5001 * static_cast<double>(scale)) {
          check.fail("row %lld value %lld is more than half a step from its code", static_cast<long long>(row),
                     static_cast<long long>(g * span + i));
        }
      }
    }
    for (int64_t block = 0; block < padded / 32; ++block) {
      int32_t sum = 0;
      for (int i = 0; i < 32; ++i) sum += static_cast<int8_t>(place[block * 32 + i]);
      std::memcpy(place + args.sums_offset + block * 4, &sum, 4);
    }
  }
  args.x = x.data();
  args.x_stride = range.x_stride;
  args.row_begin = range.begin;
  args.row_end = range.end;
  args.width = width;
  args.width_padded = padded;
  args.activation_group = group;
  args.y = y.data();
  table.quantize(args);
  check.same_bytes("row", y, want, args.y_row_bytes);
}

inline void test_quantize(Check& check, const KernelTable& table) {
  for (const Values values : kAllValues) {
    for (const int64_t width : kWidths) {
      for (const int64_t group : {0, 32, 64, 128}) test_quantize_case(check, table, width, group, values);
    }
  }
}

inline void test_add(Check& check, const KernelTable& table) {
  for (const Values values : kAllValues) {
    for (const int64_t width : kWidths) {
      Random random(5000 + static_cast<uint64_t>(width));
      const RowRange range = draw_rows(random, width, width);
      if (!begin_rows(check, range, "add", values)) continue;
      Guarded<float> x((range.rows - 1) * range.x_stride + width);
      Guarded<float> y((range.rows - 1) * range.y_stride + width);
      random.fill(x, values);
      random.fill(y, values);
      std::vector<float> want = y.image();
      for (int64_t row = range.begin; row < range.end; ++row) {
        for (int64_t i = 0; i < width; ++i) {
          const std::size_t place = static_cast<std::size_t>(row * range.y_stride + i);
          want[place] = want[place] + x[row * range.x_stride + i];
        }
      }
      table.add({x.data(), range.x_stride, range.begin, range.end, width, y.data(), range.y_stride});
      check.same("y", y, want, range.y_stride);
    }
  }
}

inline void test_scale_case(Check& check, const KernelTable& table, int64_t width, bool in_place, Values values) {
  Random random(5500 + static_cast<uint64_t>(2 * width + in_place));
  RowRange range = draw_rows(random, width, width);
  if (in_place) range.y_stride = range.x_stride;
  if (!begin_rows(check, range, in_place ? "in place" : "apart", values)) return;
  Guarded<float> x((range.rows - 1) * range.x_stride + width);
  random.fill(x, values);
  Guarded<float> apart((range.rows - 1) * range.y_stride + width);
  fill(apart, canary());
  Guarded<float>& y = in_place ? x : apart;
  const float factor = random.value(values);
  std::vector<float> want = y.image();
  for (int64_t row = range.begin; row < range.end; ++row) {
    for (int64_t i = 0; i < width; ++i) {
      want[static_cast<std::size_t>(row * range.y_stride + i)] = x[row * range.x_stride + i] * factor;
    }
  }
  table.scale({x.data(), range.x_stride, range.begin, range.end, width, factor, y.data(), range.y_stride});
  check.same("y", y, want, range.y_stride);
}

inline void test_scale(Check& check, const KernelTable& table) {
  for (const Values values : kAllValues) {
    for (const int64_t width : kWidths) {
      for (const bool in_place : {false, true}) test_scale_case(check, table, width, in_place, values);
    }
  }
}

// Values from a few, so that equals are many, of both zeros, and now and then one that is not finite.
inline void test_argmax(Check& check, const KernelTable& table) {
  constexpr float kFew[] = {0.0f, -0.0f, -1.5f, 1e-42f, 3.0f, -2e30f};
  for (const int64_t width : kWidths) {
    for (int round = 0; round < 4; ++round) {
      Random random(9000 + static_cast<uint64_t>(width * 4 + round));
      const RowRange range = draw_rows(random, width, width);
      if (!begin_rows(check, range, round == 0 ? "distinct" : "equals", Values::ordinary)) continue;
      Guarded<float> x((range.rows - 1) * range.x_stride + width);
      random.fill(x, Values::ordinary);
      for (int64_t i = 0; i < x.size() && round > 0; ++i) x[i] = kFew[random.between(0, round == 1 ? 5 : 3)];
      if (round == 3) x[random.between(0, x.size() - 1)] = random.chance(2) ? __builtin_nanf("") : -__builtin_inff();
      const int64_t begin = random.between(0, width - 1);
      const int64_t end = random.between(begin + 1, width);
      constexpr Choice kUntouched{-7.0f, -7, -7};
      std::vector<Choice> got(static_cast<std::size_t>(range.rows), kUntouched);
      table.argmax({x.data(), range.x_stride, range.begin, range.end, begin, end, got.data()});
      for (int64_t row = 0; row < range.rows; ++row) {
        const Choice& choice = got[static_cast<std::size_t>(row)];
        if (row < range.begin || row >= range.end) {
          if (choice.column != -7) check.fail("row %lld is written", static_cast<long long>(row));
          continue;
        }
        const float* values = x.data() + row * range.x_stride;
        int64_t best = begin;
        bool finite = true;
        for (int64_t c = begin; c < end; ++c) {
          finite = finite && std::isfinite(values[c]);
          if (values[c] > values[best]) best = c;
        }
        if (choice.all_finite != (finite ? 1 : 0)) check.fail("row %lld: finite", static_cast<long long>(row));
        if (finite && (choice.column != best || choice.value != values[best])) {
          check.fail("row %lld is column %d, should be %lld", static_cast<long long>(row), choice.column,
                     static_cast<long long>(best));
        }
      }
    }
  }
}

// The probes promise no bits, only that the work was done: the count grows with the iterations, and the value read
// depends on every word.
inline void test_integer_peak(Check& check, const KernelTable& table) {
  if (!check.begin("10 and 20 iterations")) return;
  const int64_t ten = table.integer_peak(10);
  const int64_t twenty = table.integer_peak(20);
  if (ten <= 0 || twenty != 2 * ten) {
    check.fail("%lld multiply-adds for 10 iterations, %lld for 20", static_cast<long long>(ten),
               static_cast<long long>(twenty));
  }
}

inline void test_read_memory(Check& check, const KernelTable& table) {
  for (const int64_t bytes : {256, 512, 768, 4096, 4352}) {
    if (!check.begin("%lld bytes", static_cast<long long>(bytes))) continue;
    Guarded<uint64_t> words(bytes / 8);
    Random random(6000);
    for (int64_t i = 0; i < words.size(); ++i) words[i] = random.bits();
    const uint64_t before = table.read_memory(words.data(), bytes);
    for (int64_t i = 0; i < words.size(); ++i) {
      const uint64_t kept = words[i];
      words[i] = kept ^ 0x10000;
      if (table.read_memory(words.data(), bytes) == before) {
        check.fail("word %lld has no influence", static_cast<long long>(i));
      }
      words[i] = kept;
    }
  }
}

}  // namespace honed::contract
