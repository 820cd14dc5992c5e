#include "cpu/column_sums.h"

#include "cpu/element_type.h"

namespace eva::cpu::EVA_CLIP_ISA {

void sum_columns(const tensor& x, const tensor& sums, const context& c) {
  for_element_type(x.type, [&]<class T>(T*) {
    const int64_t rows = x.rows(), columns = x.columns(), fours = rows / 4;
    const column_sums partial(c, columns, 1);
    parallel_for(c, fours, 16, [&](int64_t first, int64_t last) {
      for (int64_t four = first; four < last; ++four)
        add_rows<4>(partial.mine(0), x.as<T>() + four * 4 * columns, columns, columns);
    });
    for (int64_t row = fours * 4; row < rows; ++row)
      add_rows<1>(partial.mine(0), x.as<T>() + row * columns, columns, columns);
    partial.write(0, sums.as<float>());
  });
}

}  // namespace eva::cpu::EVA_CLIP_ISA
