/* libcrypto's primitives, found at run time so that neither its headers nor one version of it is needed. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* SHA256_CTX is 112 bytes and RC4_KEY 1,032 in every libcrypto that exports them; there is room to spare. */
#define SHA256_STATE 128
#define RC4_STATE 1200

struct evp_ctx;

static struct {
    void *library;
    const char *(*version)(int);
    struct evp_ctx *(*ctx_new)(void);
    void (*ctx_free)(struct evp_ctx *);
    const void *(*aes_128_ecb)(void);
    int (*encrypt_init)(struct evp_ctx *, const void *, void *, const uint8_t *, const uint8_t *);
    int (*set_padding)(struct evp_ctx *, int);
    int (*encrypt_update)(struct evp_ctx *, uint8_t *, int *, const uint8_t *, int);
    int (*sha256_init)(void *);
    int (*sha256_update)(void *, const void *, size_t);
    int (*sha256_final)(uint8_t *, void *);
    void (*rc4_set_key)(void *, int, const uint8_t *);
    void (*rc4)(void *, size_t, const uint8_t *, uint8_t *);
} crypto;

/* dlsym gives an object pointer; POSIX lets it be copied into a function pointer. */
static bool find(void *slot, const char *name)
{
    void *symbol = dlsym(crypto.library, name);
    memcpy(slot, &symbol, sizeof symbol);
    return symbol != NULL;
}

static bool find_all(void)
{
    bool found = find(&crypto.version, "OpenSSL_version");
    found &= find(&crypto.ctx_new, "EVP_CIPHER_CTX_new");
    found &= find(&crypto.ctx_free, "EVP_CIPHER_CTX_free");
    found &= find(&crypto.aes_128_ecb, "EVP_aes_128_ecb");
    found &= find(&crypto.encrypt_init, "EVP_EncryptInit_ex");
    found &= find(&crypto.set_padding, "EVP_CIPHER_CTX_set_padding");
    found &= find(&crypto.encrypt_update, "EVP_EncryptUpdate");
    found &= find(&crypto.sha256_init, "SHA256_Init");
    found &= find(&crypto.sha256_update, "SHA256_Update");
    found &= find(&crypto.sha256_final, "SHA256_Final");
    return found;
}

int vos_crypto_open(void)
{
    static const char *const names[] = {"libcrypto.so.3", "libcrypto.so.1.1"};
    if (crypto.library)
        return 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && !crypto.library; i++) {
        crypto.library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (crypto.library && !find_all()) {
            dlclose(crypto.library);
            crypto.library = NULL;
        }
    }
    if (!crypto.library)
        return -ENOSYS;
    if (!find(&crypto.rc4_set_key, "RC4_set_key") || !find(&crypto.rc4, "RC4"))
        crypto.rc4 = NULL;
    return 0;
}

const char *vos_crypto(void)
{
    return crypto.library ? crypto.version(0) : "";
}

uint32_t vos_modes(void)
{
    uint32_t modes = 1u << VOS_NONE | 1u << VOS_XOR;
    if (crypto.library)
        modes |= 1u << VOS_AES128;
    if (vos_rc4_known())
        modes |= 1u << VOS_RC4;
    return modes;
}

struct vos_aes *vos_aes_new(const uint8_t key[16])
{
    if (!crypto.library)
        return NULL;
    struct evp_ctx *ctx = crypto.ctx_new();
    if (ctx && crypto.encrypt_init(ctx, crypto.aes_128_ecb(), NULL, key, NULL) == 1 && crypto.set_padding(ctx, 0))
        return (struct vos_aes *)ctx;
    crypto.ctx_free(ctx);
    return NULL;
}

void vos_aes_free(struct vos_aes *aes)
{
    if (aes)
        crypto.ctx_free((struct evp_ctx *)aes);
}

int vos_aes_blocks(struct vos_aes *aes, const uint8_t *in, uint8_t *out, size_t length)
{
    int done = 0;
    return crypto.encrypt_update((struct evp_ctx *)aes, out, &done, in, (int)length) == 1 ? 0 : -EIO;
}

bool vos_rc4_known(void)
{
    return crypto.library && crypto.rc4;
}

void vos_rc4(const uint8_t *key, size_t key_len, size_t discard, uint8_t *data, size_t length)
{
    uint64_t state[RC4_STATE / 8];
    uint8_t thrown[256] = {0};
    crypto.rc4_set_key(state, (int)key_len, key);
    for (size_t left = discard; left;) {
        size_t part = left < sizeof thrown ? left : sizeof thrown;
        crypto.rc4(state, part, thrown, thrown);
        left -= part;
    }
    crypto.rc4(state, length, data, data);
    vos_wipe(state, sizeof state);
}

/* The states after the padded key never change, so they need no context and no lock, and each packet costs
 * two compressions instead of four. */
int vos_hmac_init(struct vos_hmac *hmac, const uint8_t *key, size_t key_len)
{
    uint8_t inner[64], outer[64];
    if (!crypto.library)
        return -ENOSYS;
    if (key_len > sizeof inner)
        return -EINVAL;
    memset(inner, 0x36, sizeof inner);
    memset(outer, 0x5c, sizeof outer);
    for (size_t i = 0; i < key_len; i++) {
        inner[i] ^= key[i];
        outer[i] ^= key[i];
    }
    crypto.sha256_init(hmac->inner);
    crypto.sha256_update(hmac->inner, inner, sizeof inner);
    crypto.sha256_init(hmac->outer);
    crypto.sha256_update(hmac->outer, outer, sizeof outer);
    vos_wipe(inner, sizeof inner);
    vos_wipe(outer, sizeof outer);
    return 0;
}

void vos_hmac(const struct vos_hmac *hmac, const uint8_t *data, size_t length, uint8_t out[32])
{
    uint64_t state[SHA256_STATE / 8];
    uint8_t digest[32];
    memcpy(state, hmac->inner, sizeof state);
    crypto.sha256_update(state, data, length);
    crypto.sha256_final(digest, state);
    memcpy(state, hmac->outer, sizeof state);
    crypto.sha256_update(state, digest, sizeof digest);
    crypto.sha256_final(out, state);
}
