/* transmitter */
typedef int placeholder_transmitter;
