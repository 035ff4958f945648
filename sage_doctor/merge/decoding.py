"""The arithmetic of dequantising, bit for bit as the libraries that made the numbers do it, on rows of a matrix.

- bitsandbytes 4 bit: two numbers in each byte, the upper half first, each an entry of a table of 16, multiplied with
  its block's absolute maximum. With double quantisation the maxima are entries of a table of 256, multiplied with the
  maximum of their own block, plus an offset.
- bitsandbytes int8: whole numbers × the row's scale ÷ 127 (as a multiplication).
- fp8: numbers × the scale of their block.

All of it in float32; the caller rounds to the dtype it keeps.
"""

from __future__ import annotations

from typing import Any

from sage_doctor.merge.edits import FLOATS, QuantizedStorage, TensorLocation
from sage_doctor.merge.streams import Source

_INT8 = 7.874015718698502e-3  # the number with which bitsandbytes multiplies instead of dividing by 127


class Decoder:
    """The rows of one quantised matrix. Its tables are read once, everything else row by row."""

    def __init__(self, torch: Any, quantized: QuantizedStorage, width: int, source: Source) -> None:
        self.torch, self.quantized, self.width, self.source = torch, quantized, width, source
        if quantized.form == "bnb-4bit":
            table = self._numbers("map")
            index = torch.arange(256)
            self.pairs = torch.stack([table[index >> 4], table[index & 15]], dim=1)
            self.nested_map = self._numbers("nested_map") if "nested_map" in quantized.parts else None

    def rows(self, start: int, end: int) -> Any:
        """Return rows `start` to `end` in float32."""
        if self.quantized.form == "bnb-4bit":
            return self._four_bits(start * self.width, end * self.width).reshape(end - start, self.width)
        codes = self._slice("codes", start * self.width, end * self.width).reshape(end - start, self.width)
        if self.quantized.form == "bnb-8bit":
            return codes * self._slice("scales", start, end).view(-1, 1) * _INT8
        return codes.to(self.torch.float32) * self._scales(start, end)

    def _four_bits(self, start: int, end: int) -> Any:
        """Return the elements `start` to `end` of the flat matrix."""
        block = int(self.quantized.numbers["block"])
        codes = self._slice("codes", start // 2, -(-end // 2))
        numbers = self.pairs[codes.to(self.torch.int32)].reshape(-1)[start % 2 :][: end - start]
        first = start // block
        maxima = self._maxima(first, -(-end // block))
        if start % block == 0 and end % block == 0:
            return numbers.view(-1, block) * maxima.view(-1, 1)
        return numbers * maxima.repeat_interleave(block)[start - first * block :][: end - start]

    def _maxima(self, start: int, end: int) -> Any:
        found = self._slice("absmax", start, end)
        if self.nested_map is None:
            return found
        block = int(self.quantized.numbers["nested_block"])
        first = start // block
        outer = self._slice("nested", first, -(-end // block)).repeat_interleave(block)
        outer = outer[start - first * block :][: end - start]
        return self.nested_map[found.to(self.torch.int32)] * outer + self.torch.tensor(self.quantized.numbers["offset"])

    def _scales(self, start: int, end: int) -> Any:
        location = self.quantized.parts["scales"]
        if location.tensor.elements == 1:
            return self._numbers("scales").to(self.torch.float32).reshape(1, 1)
        rows, columns = int(self.quantized.numbers["rows"]), int(self.quantized.numbers["columns"])
        across = location.shape[1]
        first, last = start // rows, -(-end // rows)
        found = self._slice("scales", first * across, last * across).reshape(-1, across).to(self.torch.float32)
        found = found.repeat_interleave(rows, 0)[start - first * rows :][: end - start]
        return found.repeat_interleave(columns, 1)[:, : self.width]

    def _numbers(self, part: str) -> Any:
        return self._slice(part, 0, self.quantized.parts[part].tensor.elements)

    def _slice(self, part: str, start: int, end: int) -> Any:
        """Return elements of a part, as they are stored."""
        location = self.quantized.parts[part]
        dtype = _dtype(self.torch, location)
        raw = self.source.read(location, start * dtype.itemsize, (end - start) * dtype.itemsize)
        return self.torch.frombuffer(raw, dtype=dtype) if raw else self.torch.empty(0, dtype=dtype)


def _dtype(torch: Any, location: TensorLocation) -> Any:
    names = {**FLOATS, "U8": "uint8", "I8": "int8", "F8_E4M3": "float8_e4m3fn"}
    return getattr(torch, names[location.tensor.dtype])
