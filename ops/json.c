#include "json.h"

#include "config/utf8.h"

void grace_json_put(const char *text, FILE *to)
{
    if (text == NULL) {
        fputs("null", to);
        return;
    }
    fputc('"', to);
    while (*text != '\0') {
        size_t bytes = grace_utf8_length(text);
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (bytes > 0)
            fwrite(text, 1, bytes, to);
        else
            fprintf(to, c < 0x80 ? "\\u%04x" : "\\ufffd", c);
        text += bytes == 0 ? 1 : bytes;
    }
    fputc('"', to);
}
