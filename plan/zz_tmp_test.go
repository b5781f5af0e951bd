package plan
import ("testing";"fmt";"math")
func TestZZ(t *testing.T){ for _,f:=range []string{"customer-%03d","customer-%d","customer-%04d","cust-%03d","shopper-%03d","c%03d","buyer-%03d","client-%03d","C-%03d","user-%03d","customer%03d","account-%03d","K%04d"} { w:=0.0; s:=""; for _,p:=range []Percent{10,25,50,75}{ n:=0; for i:=range 400 { if OnModern(Bucket("orders",fmt.Sprintf(f,i)),p){n++}}; d:=math.Abs(float64(n)/4-float64(p)); if d>w {w=d}; s+=fmt.Sprintf(" %d",n)}; t.Log(f,w,s)}}
