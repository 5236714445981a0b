#include "utf8.h"

#include <stdint.h>

size_t grace_utf8_length(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    /* The smallest code point that needs so many bytes: a longer form of a smaller one is not
     * UTF-8. */
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};

    if (byte[0] < 0x80)
        return byte[0] >= 0x20 && byte[0] != 0x7f;
    size_t length = byte[0] >= 0xf0 ? 4 : byte[0] >= 0xe0 ? 3 : 2;
    if (byte[0] < 0xc0 || byte[0] >= 0xf8)
        return 0;
    uint32_t point = byte[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (byte[i] & 0x3fu);
    }
    if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return 0;
    return point >= 0x80 && point < 0xa0 ? 0 : length; /* C1 controls steer some terminals */
}
