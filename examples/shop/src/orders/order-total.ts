interface PricedItem {
  readonly quantity: number;
  readonly price: number;
}

/**
 * The sum of quantity × price, rounded half up to whole cents. Computed from the decimal digits of each price, because
 * in binary 1.005 × 100 is less than 100.5. Prices must be finite and not negative; the sum may overflow to Infinity.
 */
export function totalOf(items: readonly PricedItem[]): number {
  const prices = items.map(({ price }) => decimalOf(price));
  const decimals = Math.max(2, ...prices.map(price => price.decimals));
  let sum = 0n;
  items.forEach(({ quantity }, index) => {
    const price = prices[index];
    if (price !== undefined) sum += BigInt(quantity) * price.digits * 10n ** BigInt(decimals - price.decimals);
  });
  const unitsPerCent = 10n ** BigInt(decimals - 2);
  const cents = (sum + unitsPerCent / 2n) / unitsPerCent;
  return Number(`${cents}e-2`);
}

/** The shortest decimal that reads back as this number: `digits` ÷ 10^`decimals`. */
function decimalOf(price: number): { digits: bigint; decimals: number } {
  const [mantissa = "0", exponent = "0"] = String(price).split("e");
  const [whole = "0", fraction = ""] = mantissa.split(".");
  const decimals = fraction.length - Number(exponent);
  const digits = BigInt(whole + fraction);
  return decimals >= 0 ? { digits, decimals } : { digits: digits * 10n ** BigInt(-decimals), decimals: 0 };
}
