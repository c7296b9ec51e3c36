/* wire */
typedef int placeholder_wire;
