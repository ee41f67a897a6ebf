/** The order that an event of a new order tells of: other producers send the order as it is, whose id is `id`. */
export function orderIdOf(event: { readonly orderId: string; readonly id?: string | undefined }): string {
  return event.orderId === "" ? (event.id ?? "") : event.orderId;
}
