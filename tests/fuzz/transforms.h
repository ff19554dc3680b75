/* What every packet must stand; the fuzzer and the packet tests share it. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Twice is nothing: every mode of the trunks is its own inverse, and stays within the packet. */
static void transforms(const uint8_t *packet, size_t length)
{
    static const char keys[][17] = {"", "q", "Harbour4Station2", "Paris2Lyon4Metz6"};
    for (uint8_t mode = VOS_XOR; mode <= VOS_AES128; mode++) {
        struct vos_transform how = {.mode = mode, .key_len = (uint16_t)strlen(keys[mode])};
        memcpy(how.key, keys[mode], how.key_len);
        uint8_t *copy = malloc(length ? length : 1); /* exact, so that one byte too far is seen */
        memcpy(copy, packet, length);
        int first = vos_transform_packet(&how, copy, length);
        int second = vos_transform_packet(&how, copy, length);
        if (first != second || memcmp(copy, packet, length))
            abort();
        free(copy);
    }
}
